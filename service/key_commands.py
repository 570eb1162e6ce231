"""`rakinglight keys` and `rakinglight ledger`: who may ask, and who asked, straight from the service's own database.

They ask no service: whoever may read and write the database is the operator. RAKINGLIGHT_DATABASE and RAKINGLIGHT_HOME
say where it is, as for `serve`; services that share it hear of a change with their next request.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rakinglight.errors import BadParameter, shown
from rakinglight.tables import age, local_time, table
from rakinglight.terminal import AsJson, echo_json, print_table, say, taught
from service.keys import Response, View

if TYPE_CHECKING:
    from service.black_box.keys import Keys
    from service.black_box.ledger import Ledger
    from service.database import Database
    from service.settings import Settings

#: Keys and entries that a list shows if not all are asked for.
LISTED = 50

app = typer.Typer(help="Make keys, list them, top them up and revoke them.", no_args_is_help=True)

Home = Annotated[Path | None, typer.Option(help="Folder of the service; or set RAKINGLIGHT_HOME.")]
KeyName = Annotated[str, typer.Argument(help="The name of a key, or its id.", show_default=False, metavar="KEY")]


def register(parent: typer.Typer) -> None:
    """Add the commands to the command line."""
    parent.add_typer(app, name="keys")
    parent.command()(ledger)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def make(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of whom it is: 1 to 32 of a-z, 0-9 and -.", show_default=False)],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do: query, explain, attack, metrics, admin; may be given again. query alone, a black "
            "box, is the default.",
            show_default=False,
        ),
    ] = None,
    view: Annotated[View | None, typer.Option(help="What a black box shows of its answers; by default label.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Classes that the view top_k shows; by default 5.")] = None,
    budget: Annotated[
        int | None, typer.Option(help="Images that it may ask about, ever; by default any number.")
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Images a minute; by default any number.")] = None,
    response: Annotated[
        Response | None, typer.Option(help="What is done once it is noticed to copy the model; by default log.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 2026-12-31, 2026-12-31T12:00:00Z, or 90d from now.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print its secret, which is shown this once: only its SHA-256 is kept."""
    with _storage(context, home) as (keys, _, settings):
        expires_at = None if expires is None else _moment(expires, "expires", +1)
        scopes = [word for words in scope or ("query",) for word in words.split(",")]
        made, secret = keys.make(
            name,
            scopes=scopes,
            view=view,
            top_k=top_k,
            budget=budget,
            rate=rate,
            response=response,
            expires_at=expires_at,
        )
        if as_json:
            echo_json({**made, "secret": secret})
        else:
            typer.echo(secret)
            say(f"{made['id']} of {name}: {_may(made)}. Keep the secret; nobody can be told it again.")
        if not settings.needs_key:
            typer.echo(
                "By these settings the service lets in who shows no key, and then this one restrains nobody: set "
                "RAKINGLIGHT_REQUIRE_KEY=true for it.",
                err=True,
            )


@app.command("list")
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are revoked or at their end.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show the keys of the database, newest first. Those of the key file are in that."""
    with _storage(context, home) as (keys, *_):
        found = [key for key in _all(keys.list, "keys") if everything or _holds(key)]
        if as_json:
            echo_json({"keys": found})
            return
        print_table(_listed(found))


@app.command()
def show(context: typer.Context, key: KeyName, home: Home = None, as_json: AsJson = False) -> None:
    """Show one key: what it may, what it has spent, and whether it was noticed."""
    with _storage(context, home) as (keys, *_):
        _print(keys.get(key), as_json=as_json)


@app.command()
def revoke(context: typer.Context, key: KeyName, home: Home = None, as_json: AsJson = False) -> None:
    """Let nobody in by a key from now on. It stays in the ledger."""
    with _storage(context, home) as (keys, *_):
        _print(keys.revoke(key), as_json=as_json)


@app.command("top-up", context_settings={"ignore_unknown_options": True})  # or -100 would be an option
def top_up(
    context: typer.Context,
    key: KeyName,
    images: Annotated[int, typer.Argument(help="How many more it may ask about.", show_default=False)],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let a key ask about more images."""
    with _storage(context, home) as (keys, *_):
        _print(keys.top_up(key, images), as_json=as_json)


@app.command()
def clear(context: typer.Context, key: KeyName, home: Home = None, as_json: AsJson = False) -> None:
    """Forget that a key was noticed to copy the model, and what was seen of its questions."""
    with _storage(context, home) as (keys, *_):
        _print(keys.clear(key), as_json=as_json)


def _print(key: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        echo_json(dict(key))
    else:
        print_table(_listed([key]))


def _listed(keys: Sequence[Mapping[str, Any]]) -> Any:
    found = table("key", "name", "scopes", "view", "spent", "budget", "rate", "response", "state", "age")
    for key in keys:
        found.add_row(
            key["id"], key["name"], ",".join(key["scopes"]), _view(key), str(key["spent"]), _said(key["budget"]),
            _said(key["rate"]), _said(key["response"]), _state(key), age(key["created_at"]),
        )  # fmt: skip
    return found


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def _view(key: Mapping[str, Any]) -> str:
    return f"top {key['top_k']}" if key["view"] == "top_k" else _said(key["view"])


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {local_time(key['revoked_at'])}"
    until = f"until {local_time(key['expires_at'])}" if key["expires_at"] else "good"
    if not _holds(key):
        until = f"over since {local_time(key['expires_at'])}"
    if not (noticed := key["noticed"]):
        return until
    if key["response"] == "refuse" and not noticed["over"]:
        until = f"stopped since {local_time(noticed['at'])}"
        return f"{until}, noticed after {noticed['queries']}; keys clear lets it go on"
    return f"{until}, noticed after {noticed['queries']}{', which is over' if noticed['over'] else ''}"


def _holds(key: Mapping[str, Any]) -> bool:
    from service.times import seconds_of

    ends = key["expires_at"]
    return not key["revoked_at"] and (ends is None or seconds_of(ends, "/expires_at") > time.time())


def _may(key: Mapping[str, Any]) -> str:
    """What a new key may do, in a few words."""
    if key["view"] is None:
        return f"may {', '.join(key['scopes'])}"
    shows = f"the best {key['top_k']} classes" if key["view"] == "top_k" else f"the view {key['view']}"
    images = "any number of images" if key["budget"] is None else f"{key['budget']} images"
    return f"a black box that shows {shows} of {images}" + (f", {key['rate']} a minute" if key["rate"] else "")


# ── the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────


def ledger(
    context: typer.Context,
    key: Annotated[str | None, typer.Option(help="Only of this key: its name, or its id.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only of this operation, such as classify or attack.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only since then: 2026-11-22, 2026-11-22T15:00:00Z, or 3h, 30min, 7d ago.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"All entries, not the newest {LISTED}.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write all of them to a file instead, oldest first, one JSON object a line.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show who asked what and when: every image of a black box's callers, and every attack, whoever made it."""
    from service.black_box.ledger import filters_of

    with _storage(context, home) as (_, book, _):
        filters = filters_of(key, operation, None if since is None else _moment(since, "since", -1))
        if export is not None:
            exported = book.export(**filters)  # before the file is emptied
            with export.open("w", encoding="utf-8") as file:
                count = sum(file.write(f"{json.dumps(entry)}\n") > 0 for entry in exported)
            typer.echo(f"{count} entries in {export}")
            return
        entries = _all(lambda page: book.pages(page, **filters), "entries")
        found = list(entries if everything else islice(entries, LISTED + 1))
        listed = found if everything else found[:LISTED]
        if as_json:
            echo_json({"entries": listed})
            return
        print_table(_entries(listed))
        if len(listed) < len(found):
            say(f"There are more than {LISTED}: --all shows them, --export keeps them.")


def _entries(entries: Sequence[Mapping[str, Any]]) -> Any:
    found = table("at", "key", "operation", "model", "image", "sha256", "charged", "request", "purpose")
    for entry in entries:
        what = " by ".join(filter(None, (entry["operation"], entry["method"])))
        who = entry["caller"] or "nobody named"
        about = entry["sha256"][:12] if entry["sha256"] else _said(entry["dataset"])
        found.add_row(
            f"{entry['at'][:19]}Z", who, what, entry["model"]["name"], _said(entry["image"]), about,
            "yes" if entry["charged"] else "", entry["request_id"], _said(entry["purpose"]),
        )  # fmt: skip
    return found


# ── what both need ──────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _storage(context: typer.Context, home: Path | None) -> Iterator[tuple[Keys, Ledger, Settings]]:
    """The keys and the ledger of the database that the settings name, brought up to date; and the settings."""
    from pydantic import ValidationError

    from service.serve import told
    from service.settings import Settings

    with taught(context):
        try:
            given: dict[str, Any] = {} if home is None else {"home": home}
            settings = Settings(**given)
            database = _database(settings)
        except (ValidationError, ValueError) as e:  # a setting that is wrong
            raise BadParameter(told(e)) from None
        try:
            yield *_parts(database, settings), settings
        finally:
            database.close()


def _database(settings: Settings) -> Database:
    from service.database import Database

    database = Database.of(settings)
    database.migrate()
    return database


def _parts(database: Database, settings: Settings) -> tuple[Keys, Ledger]:
    from service.artifacts import Artifacts
    from service.black_box.keys import Keys
    from service.black_box.ledger import Ledger
    from service.keys import Keyring

    names = Keyring(settings.keys).names
    return Keys(database, taken=names), Ledger(database, Artifacts.of(settings, database), settings, names=names)


def _all(listed: Any, name: str) -> Iterator[dict[str, Any]]:
    """All entries of a list, page by page."""
    from service.database.pages import MOST, Page

    token = None
    while True:
        page = listed(Page(MOST, token))
        yield from page[name]
        if (token := page["next_page_token"]) is None:
            return


_SPAN = re.compile(r"(\d{1,6})(s|min|h|d)")
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def _moment(said: str, option: str, sign: int) -> float:
    """Seconds since 1970 of a time, a day, or a span from now on (`sign` 1) or back (-1). Raises BadParameter."""
    from service.times import seconds_of

    if span := _SPAN.fullmatch(said):
        return time.time() + sign * int(span[1]) * _UNITS[span[2]]
    try:
        return seconds_of(said, f"/{option}")
    except BadParameter:
        taken = "it looks like 2026-11-22, 2026-11-22T15:00:00Z, or a span such as 90s, 30min, 3h or 7d"
        raise BadParameter(f"--{option} is {shown(said)}, which is no time; {taken}.") from None
