"""The command `rakinglight datasets`: many images, sent once and used by their id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rakinglight.tables import local_time, table
from rakinglight.terminal import AsJson, KeyFile, Url, client_of, echo_json, print_table, say, taught

app = typer.Typer(help="Send datasets to a service, look at them, and remove them.", no_args_is_help=True)

DatasetId = Annotated[str, typer.Argument(help="The id of a dataset.", show_default=False, metavar="DATASET")]


@app.command("list")
def list_(
    context: typer.Context, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Show the datasets that you may use, yours newest first."""
    with taught(context), client_of(url, key_file) as client:
        datasets = list(client.datasets())
        if as_json:
            echo_json({"datasets": datasets})
            return
        print_table(_listed(*datasets))


@app.command()
def add(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="A folder with a folder for each class, a zip of one, or an NPZ.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option(help="What it is called; by default as the file or folder.")] = None,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a dataset, and print its id, which goes as --dataset into other commands."""
    with taught(context), client_of(url, key_file) as client:
        added = client.upload_dataset(path, name)
        if as_json:
            echo_json(added)
            return
        typer.echo(added["id"])
        until = local_time(added["expires_at"])
        say(f"{added['images']} images of {len(added['classes'])} classes, kept until {until}.")


@app.command()
def show(
    context: typer.Context,
    dataset: DatasetId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in a dataset."""
    with taught(context), client_of(url, key_file) as client:
        found = client.dataset(dataset)
        if as_json:
            echo_json(found)
            return
        print_table(_listed(found))
        typer.echo()
        classes = table("class", "images")
        for one in found["classes"]:
            classes.add_row(one["name"], str(one["images"]))
        print_table(classes)


@app.command()
def rm(
    context: typer.Context, dataset: DatasetId, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None
) -> None:
    """Remove a dataset. Jobs that are about it keep what they need."""
    with taught(context), client_of(url, key_file) as client:
        client.delete_dataset(dataset)
        typer.echo(f"{dataset} is removed.")


def _listed(*datasets: Mapping[str, Any]) -> Any:
    found = table("dataset", "name", "kind", "images", "classes", "kept until")
    for one in datasets:
        if problem := one.get("problem"):  # a folder of the operator's that cannot be used
            found.add_row(one["id"], one["name"], one["kind"], "", "", problem["detail"])
            continue
        until = local_time(one.get("expires_at")) or "always"
        found.add_row(one["id"], one["name"], one["kind"], str(one["images"]), str(len(one["classes"])), until)
    return found
