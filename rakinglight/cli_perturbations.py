"""The command `rakinglight perturbations`: what `universal` has made, kept by a service and applied by its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rakinglight.parameters import as_fraction
from rakinglight.tables import local_time, table
from rakinglight.terminal import AsJson, KeyFile, Url, client_of, echo_json, print_table, taught

app = typer.Typer(
    help="Look at the universal perturbations that a service keeps, and remove them.", no_args_is_help=True
)

PerturbationId = Annotated[
    str, typer.Argument(help="The id of a perturbation.", show_default=False, metavar="PERTURBATION")
]


@app.command("list")
def list_(
    context: typer.Context, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Show your perturbations, newest first."""
    with taught(context), client_of(url, key_file) as client:
        perturbations = list(client.perturbations())
        if as_json:
            echo_json({"perturbations": perturbations})
            return
        print_table(_listed(*perturbations))


@app.command()
def show(
    context: typer.Context,
    perturbation: PerturbationId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how a perturbation was made and what it fools. The id goes as --perturbation into `attack`."""
    with taught(context), client_of(url, key_file) as client:
        found = client.perturbation(perturbation)
        if as_json:
            echo_json(found)
            return
        print_table(_listed(found))


@app.command()
def rm(
    context: typer.Context,
    perturbation: PerturbationId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
) -> None:
    """Remove a perturbation. Jobs that have not begun with it fail."""
    with taught(context), client_of(url, key_file) as client:
        client.delete_perturbation(perturbation)
        typer.echo(f"{perturbation} is removed.")


def _listed(*perturbations: Mapping[str, Any]) -> Any:
    found = table("perturbation", "model", "method", "epsilon", "fools", "kept until")
    for one in perturbations:
        epsilon = f"{as_fraction(one['epsilon'])} {one['norm']}"
        fooled = one["held_out"] or one["given"]
        fools = f"{fooled['count']} of {fooled['of']}" + ("" if one["held_out"] else ", it is made of")
        found.add_row(one["id"], one["model"]["name"], one["method"], epsilon, fools, local_time(one["expires_at"]))
    return found
