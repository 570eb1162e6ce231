"""The command `rakinglight substitutes`: what `substitute` has made, kept by a service as archives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rakinglight.tables import local_time, table
from rakinglight.terminal import AsJson, KeyFile, Url, client_of, echo_json, print_table, taught

app = typer.Typer(help="Look at the substitutes that a service keeps, and remove them.", no_args_is_help=True)

SubstituteId = Annotated[str, typer.Argument(help="The id of a substitute.", show_default=False, metavar="SUBSTITUTE")]


@app.command("list")
def list_(
    context: typer.Context, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Show your substitutes, newest first."""
    with taught(context), client_of(url, key_file) as client:
        substitutes = list(client.substitutes())
        if as_json:
            echo_json({"substitutes": substitutes})
            return
        print_table(_listed(*substitutes))


@app.command()
def show(
    context: typer.Context,
    substitute: SubstituteId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show of which model a substitute is, and how often it agrees with that."""
    with taught(context), client_of(url, key_file) as client:
        found = client.substitute(substitute)
        if as_json:
            echo_json(found)
            return
        print_table(_listed(found))


@app.command()
def rm(
    context: typer.Context,
    substitute: SubstituteId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
) -> None:
    """Remove a substitute."""
    with taught(context), client_of(url, key_file) as client:
        client.delete_substitute(substitute)
        typer.echo(f"{substitute} is removed.")


def _listed(*substitutes: Mapping[str, Any]) -> Any:
    found = table("substitute", "model", "architecture", "queries", "agrees", "kept until")
    for one in substitutes:
        agrees = f"{one['agreement']['count']} of {one['agreement']['of']}"
        until = local_time(one["expires_at"])
        found.add_row(one["id"], one["model"]["name"], one["architecture"], str(one["queries"]), agrees, until)
    return found
