"""`python -m model_store`: build archives, list the recipes, train what is trained here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model_store.digits import Part
from rakinglight.errors import BadParameter, RakinglightError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Home = Annotated[Path, typer.Option(envvar="RAKINGLIGHT_HOME", help="Archives are in its folder `archives`.")]
HOME = Path(".rakinglight")


@app.command()
def build(
    what: Annotated[list[str], typer.Argument(help="Names of recipes here, or your own NETWORK.py or NETWORK.onnx.")],
    home: Home = HOME,
    name: Annotated[
        str, typer.Option(help="One of the recipes in NETWORK.py; or what NETWORK.onnx shall be called.")
    ] = "",
    weights: Annotated[Path | None, typer.Option(help="For a recipe: a state dict in place of its own.")] = None,
    labels: Annotated[Path | None, typer.Option(help="For ONNX: a file with one label a line.")] = None,
    mean: Annotated[str, typer.Option(help="For ONNX: mean per channel in units of [0, 1], with commas.")] = "0",
    std: Annotated[str, typer.Option(help="For ONNX: standard deviation per channel, likewise.")] = "1",
    resize: Annotated[
        int, typer.Option(help="For ONNX: pixels of the shorter side before the central crop.", min=0)
    ] = 0,
    version: Annotated[str, typer.Option(help="For ONNX: the network's version.")] = "1.0",
    provenance: Annotated[str, typer.Option(help="For ONNX: where the network comes from, in a sentence.")] = "",
) -> None:
    """Make archives, and measure how many rows a pass takes here."""
    for each in what:
        file = Path(each)
        if file.suffix == ".onnx":
            from model_store import from_onnx

            if labels is None:
                raise BadParameter(
                    f"{file} does not say what its classes are called: give --labels FILE, one name a line."
                )
            meaning = from_onnx.Meaning(labels, _numbers(mean), _numbers(std), resize, version, provenance)
            _measure(from_onnx.build(file, name or file.stem, meaning, home, typer.echo), home)
        else:
            from model_store import from_recipe

            for source, recipe in from_recipe.find(each, name):
                _measure(from_recipe.build(recipe, source, home, typer.echo, weights), home)


@app.command("list")
def show(home: Home = HOME) -> None:
    """Show the recipes that are here, and which of them have an archive."""
    from model_store import from_recipe
    from rakinglight.archives import find_archives

    archives = find_archives(home)
    table = Table("name", "input", "archive", box=None)
    for name, (_, recipe) in from_recipe.house().items():
        table.add_row(name, " × ".join(map(str, recipe.input_shape)), "built" if name in archives else "")
    Console().print(table)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A recipe whose weights are made here.")],
    detector: Annotated[bool, typer.Option("--detector", help="Its detector alone; the network stays.")] = False,
    decoder: Annotated[
        str, typer.Option(metavar="LAYER", help="Its decoder for this layer alone; the network stays.")
    ] = "",
) -> None:
    """Train a network anew and, if it is as good as its recipe says, replace its weights and their digest."""
    from model_store import from_recipe

    if decoder:
        typer.echo(from_recipe.train_decoder(name, decoder))
        return
    typer.echo(from_recipe.train(name, detector_only=detector))


@app.command()
def digits(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made.")],
    part: Annotated[Part, typer.Option(help="Those of the test, or those that networks learn from.")] = "test",
) -> None:
    """Write the digits as a folder of pictures by class, to steal, attack or upload."""
    from model_store.digits import indices, pictures
    from rakinglight.pictures import from_pixels, to_png

    images, labels = pictures(part)
    for row, image, label in zip(indices(part), images, labels, strict=True):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"{row:04}.png").write_bytes(to_png(from_pixels(image.transpose(1, 2, 0))))
    typer.echo(f"{folder}: {len(images)} digits, of {len(set(labels.tolist()))} classes.")


def _measure(archive: Path, home: Path) -> None:
    """Measure the row counts now, so that no worker has to at its first start."""
    from rakinglight.archives import load_network

    network = load_network(archive, home=home)
    typer.echo(
        f"{network.card.name}: {network.forward.name} answers, up to {network.forward_ladder.limit} rows a pass."
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as e:
        raise BadParameter(f"{text!r} are no numbers with commas between, such as 0.485,0.456,0.406.") from e


def main() -> None:
    """The command. Ends with 2 where the caller can mend it."""
    try:
        app()
    except RakinglightError as e:
        typer.echo(e.detail, err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
