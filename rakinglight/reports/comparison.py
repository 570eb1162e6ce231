"""What each view and defence would have cost the attacker: the same attack, and the searches that need no substitute.

These are measurements of their own, made here, on a model that runs here or answers here. Of what a model tells, only
views that show less can be known (`views`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rakinglight.catalogue import operation
from rakinglight.client import Client
from rakinglight.defenses import Chain
from rakinglight.errors import CallerError, NotFound
from rakinglight.reports.theft import VIEWS, Priced, Searched
from rakinglight.reports.views import NONE, said, through
from rakinglight.views import KNOWN

#: The search that a view allows, and the queries of each image that it is given.
SEARCHES = {"label": ("hop_skip_jump", 1000), "rounded": ("square", 500), "full": ("square", 500)}
#: Images that the searches are tried on.
IMAGES = 10
#: An epsilon is not missed by rounding.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Asked:
    """The attack that is compared: its images, and all that was said of how."""

    model: str
    images: Sequence[Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The rows of both tables."""

    priced: list[Priced]
    searched: list[Searched]


def compared(
    client: Client,
    asked: Asked,
    reply: Mapping[str, Any],
    defended: str | None,
    say: Callable[[str], None],
    chain: Chain = NONE,
) -> Comparison:
    """The attack and the searches through every view that can be known, and by labels on what is defended.

    client    of models that run in this process, or are asked from it
    reply     of the attack itself, which is not made again
    defended  another model with the same classes; None for none
    say       told what comes next
    chain     defences that the model itself is put behind; an empty one for none
    """
    summary = reply["summary"]
    known = KNOWN[summary["tells"]]
    epsilon = min(reply["parameters"]["epsilons"])
    held_out = [i for i, result in enumerate(reply["results"]) if not result["seed"]][:IMAGES]
    priced, searched = [], []
    for view, (name, learns_from) in VIEWS.items():
        if view not in SEARCHES:
            continue
        if view not in known:
            words = f"unknown: it tells {summary['tells']}, and nothing here can make more of them"
            priced.append(Priced(name, learns_from, unknown=words))
            searched.append(Searched(view, SEARCHES[view][0], unknown=words))
            continue
        seen = through(view, client)
        with seen:
            # What was attacked already is this view where it told the same.
            done = summary["answers"] == ("hard" if view == "label" else "soft") and view != "rounded"
            say(f"view {view}: {'a search' if done else 'the attack, and a search'}")
            curve = summary["curve"] if done else _attacked(seen, asked, asked.model, view)
            priced.append(Priced(name, learns_from, curve))
            searched.append(_searched(seen, asked, asked.model, view, held_out, epsilon, view))
    others = [(defended, NONE, f"of {defended}")] if defended else []
    others += [(asked.model, chain, f"behind {said(chain)}")] if chain else []
    for model, before, name in others:
        say(f"{name}: the attack, and a search")
        more = _defended(client, asked, model, before, held_out, epsilon, f"label, {name}")
        priced += more.priced
        searched += more.searched
    return Comparison(priced, searched)


def _defended(
    client: Client, asked: Asked, model: str, chain: Chain, held_out: Sequence[int], epsilon: float, name: str
) -> Comparison:
    """The attack and a search on another model, or behind a chain, by labels."""
    with through("label", client, chain, asked.options.get("seed") or 0) as seen:
        try:
            curve = _attacked(seen, asked, model, "label")
            found = _searched(seen, asked, model, "label", held_out, epsilon, name)
        except (NotFound, CallerError) as e:
            words = f"not measured: {e.detail}"
            return Comparison([Priced(name, "hard labels", unknown=words)], [])
    return Comparison([Priced(name, "hard labels", curve)], [found])


def _attacked(client: Client, asked: Asked, model: str, view: str) -> Sequence[Mapping[str, Any]]:
    """The curve of the same attack through a view. The control and its like are left out: they are known."""
    options = {**asked.options, "answers": "hard" if view == "label" else "soft", "include": []}
    options |= {name: False for name in ("control", "white_box") if name in _parameters()}
    answers = client.model(model).ask("substitute", list(asked.images), **options)
    curve: Sequence[Mapping[str, Any]] = answers[0].reply["summary"]["curve"]
    return curve


def _searched(
    client: Client, asked: Asked, model: str, view: str, held_out: Sequence[int], epsilon: float, name: str
) -> Searched:
    """The queries after which each of some held-out images was fooled within epsilon, by the search of `view`."""
    method, queries = SEARCHES[view]
    options: dict[str, Any] = {"norm": "linf", "queries": queries, "seed": asked.options.get("seed", 0)}
    options |= {"epsilon": epsilon} if method == "square" else {}
    options |= {"deadline_s": asked.options.get("deadline_s"), "include": []}
    images = [asked.images[i] for i in held_out]
    answers = client.model(model).ask("attack", images, method, **options) if images else []
    return Searched(name, method, queries, [_needed(answer.entry, epsilon) for answer in answers])


def _needed(entry: Mapping[str, Any], epsilon: float) -> int | None:
    """The first query that was near enough; None where there was none."""
    trace = entry["trace"]
    reached = zip(trace["queries"], trace["distance"], strict=True)
    return next((int(n) for n, distance in reached if distance <= epsilon + ROUNDING), None)


def _parameters() -> Mapping[str, Any]:
    stealing = operation("substitute")
    return stealing.fields(stealing.method(None))
