"""Archives: built once, renewed when a source changes, the same bytes from the same sources."""

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
import safetensors.torch
import torch
from torch import nn
from typer.testing import CliRunner

from model_store import from_onnx, from_recipe
from model_store.__main__ import app
from model_store.build import Record, check_name, ensure
from model_store.recipes import torchvision_classics
from rakinglight.archives import find_archives, load_network, read_card
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter, NotFound, Unreadable
from rakinglight.objectives import Logit
from rakinglight.operations import classify
from rakinglight.queries import Gradient
from rakinglight.subject import Subject

RECIPE = """
from torch import nn
from rakinglight.recipe import Recipe


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


recipes = [
    Recipe(
        name="tiny",
        network=network,
        weights="tiny.safetensors",
        input_shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.25,),
        labels=("ash", "birch", "cedar"),
        provenance="Made by a test.",
    )
]
"""


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A user's own recipe, with its weights beside it."""
    safetensors.torch.save_file(tiny().state_dict(), tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.py").write_text(RECIPE)
    return tmp_path / "tiny.py"


def built(file: Path, home: Path) -> Path:
    (recipe,) = from_recipe.read(file)
    return from_recipe.build(recipe, file, home, lambda line: None)


def test_a_recipe_of_a_few_lines_goes_all_the_way(recipe_file: Path, tmp_path: Path) -> None:
    archive = built(recipe_file, tmp_path)
    assert find_archives(tmp_path) == {"tiny": archive}
    card = read_card(archive)
    assert card.layers == {"0": (2, 6, 6), "1": (2, 6, 6), "2": (72,), "3": (3,)}
    assert card.differentiable

    network = load_network(archive, home=tmp_path)
    pixels = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        expected = tiny()((pixels - 0.5) / 0.25)
    torch.testing.assert_close(network.forward.forward(pixels).logits, expected)
    assert network.gradient is not None
    assert network.gradient.gradient(pixels, Logit(1)).gradient.shape == pixels.shape


def test_an_archive_is_what_torchserve_takes(recipe_file: Path, tmp_path: Path) -> None:
    with ZipFile(built(recipe_file, tmp_path)) as archive:
        assert archive.namelist() == [
            "MAR-INF/MANIFEST.json",
            "card.json",
            "network.onnx",
            "network.py",
            "network.safetensors",
            "rakinglight_handler.py",
        ]
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert manifest["model"] == {"modelName": "tiny", "handler": "rakinglight_handler.py", "modelVersion": "1.0"}


def test_the_same_sources_give_the_same_bytes(recipe_file: Path, tmp_path: Path) -> None:
    first, second = (built(recipe_file, tmp_path / home).read_bytes() for home in ("a", "b"))
    assert first == second


def test_a_folder_that_torchserve_unpacked_is_an_archive_too(recipe_file: Path, tmp_path: Path) -> None:
    archive = built(recipe_file, tmp_path)
    with ZipFile(archive) as file:
        file.extractall(tmp_path / "unpacked")
    assert read_card(tmp_path / "unpacked") == read_card(archive)
    assert load_network(tmp_path / "unpacked").card.name == "tiny"


def test_ensure_leaves_alone_what_is_up_to_date(recipe_file: Path, tmp_path: Path) -> None:
    archive = built(recipe_file, tmp_path)
    before, said = archive.stat(), []
    assert ensure(["tiny"], tmp_path, said.append) == [archive]
    assert archive.stat() == before
    assert said == []


def test_ensure_renews_what_is_out_of_date(recipe_file: Path, tmp_path: Path) -> None:
    archive = built(recipe_file, tmp_path)
    recipe_file.write_text(RECIPE.replace("birch", "beech"))
    said: list[str] = []
    ensure(["tiny"], tmp_path, said.append)
    assert read_card(archive).labels == ("ash", "beech", "cedar")
    assert said[0] == "Renewing the archive of tiny ..."


@pytest.mark.parametrize("lost", ["recipe", "record"])
def test_ensure_keeps_an_archive_whose_origin_is_gone(lost: str, recipe_file: Path, tmp_path: Path) -> None:
    archive = built(recipe_file, tmp_path)
    (recipe_file if lost == "recipe" else archive.with_suffix(".sources.json")).unlink()
    ensure(["tiny"], tmp_path, pytest.fail)


def test_ensure_says_what_it_has_when_asked_for_something_else(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"No recipe here is called 'vgg17': did you mean .*'vgg16'"):
        ensure(["vgg17"], tmp_path, lambda line: None)


def test_ensure_says_why_a_build_failed_and_how_to_see_more(recipe_file: Path, tmp_path: Path) -> None:
    built(recipe_file, tmp_path)
    recipe_file.write_text(RECIPE + "\nraise TypeError('no such argument\\n  of this layer')\n")
    with pytest.raises(BadParameter) as failed:
        ensure(["tiny"], tmp_path, lambda line: None)
    said = failed.value.detail
    assert "could not be built. TypeError: no such argument of this layer. Rebuild with: python -m model_store" in said
    assert str(tmp_path) in said.partition("Rebuild with")[2]
    assert "Traceback" not in said and "File " not in said


@pytest.mark.parametrize("name", ["", "Lite0", "../lite", "a/b", "lite_0", "-a", "a-", "a.b", "a" * 65, "ünder"])
def test_names_that_cannot_stand_in_a_url(name: str) -> None:
    with pytest.raises(BadParameter, match="lower-case letters, digits and hyphens"):
        check_name(name)


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "tiny.sources.json").write_text("{")
    assert Record.read(tmp_path / "tiny.mar") is None


# ── weights ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Stranger:
    """Unpickled, it would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a stranger's code ran",)


def test_a_strangers_pickle_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": Stranger()}, tmp_path / "stranger.pth")
    with pytest.raises(Unreadable, match="is not unpickled"):
        from_recipe.read_weights(tmp_path / "stranger.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_weights_file_is_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"weights{suffix}").write_bytes(b"not at all")
    with pytest.raises(Unreadable):
        from_recipe.read_weights(tmp_path / f"weights{suffix}")


def test_weights_that_are_not_those_of_their_digest_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    from_recipe.beside(tmp_path / "a.safetensors").write_text("0" * 64 + "  a.safetensors\n")
    with pytest.raises(Unreadable, match="digest"):
        from_recipe.read_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"cedar"', '"cedar", "date"', "4 labels"),
        ("(0.5,)", "(0.5, 0.5)", "mean has 2 values"),
        ("Linear(72, 3)", "Linear(72, 4)", "does not fit tiny"),
        ('"tiny.safetensors"', '"none.safetensors"', "no weights file"),
        ("recipes = [", "dishes = [", "defines no `recipes`"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_told_where(
    old: str, new: str, message: str, recipe_file: Path, tmp_path: Path
) -> None:
    recipe_file.write_text(RECIPE.replace(old, new))
    with pytest.raises((BadParameter, NotFound, Unreadable), match=message):
        built(recipe_file, tmp_path)


@pytest.fixture
def weights_of(tmp_path: Path) -> Callable[[str], Path]:
    """Writes random weights of a torchvision architecture, as a user's file of safetensors."""

    def write(name: str) -> Path:
        torch.manual_seed(0)
        safetensors.torch.save_file(torchvision_classics.untrained(name).state_dict(), tmp_path / f"{name}.safetensors")
        return tmp_path / f"{name}.safetensors"

    return write


def test_a_classic_from_a_file_that_the_user_gives(weights_of: Callable[[str], Path], tmp_path: Path) -> None:
    ((file, recipe),) = from_recipe.find("resnet18")
    archive = from_recipe.build(recipe, file, tmp_path, lambda line: None, weights_of("resnet18"))
    card = read_card(archive)
    assert card.labels[285] == "Egyptian cat"
    assert card.resize == 256
    assert card.layers["layer1.0.conv1"] == (64, 56, 56)
    assert "layer1.0.relu" not in card.layers, "it is called twice, so the name would say two things"


def test_vgg16_takes_its_weights_and_names_its_layers(weights_of: Callable[[str], Path]) -> None:
    ((_, recipe),) = from_recipe.find("vgg16")
    layers, classes = from_recipe.listened(from_recipe.filled(recipe, weights_of("vgg16")), recipe.input_shape)
    assert classes == (1000,)
    assert layers["features.29"] == (512, 14, 14)
    assert "classifier.2" not in layers, "dropout does nothing here"


# ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Speaking(nn.Module):
    """A user's network that also gives what it had in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        middle = self.network[:2](x)
        return self.network[2:](middle), middle


def onnx_file(folder: Path, module: nn.Module, rows: int | None = None, names: tuple[str, ...] = ("scores",)) -> Path:
    """The user's file: with an open row axis, or with `rows` built in."""
    path = folder / "mine.onnx"
    axes = {} if rows else {name: {0: "n"} for name in ("image", *names)}
    with pytest.warns():  # by the exporter, of itself
        torch.onnx.export(
            module,
            (torch.zeros(rows or 2, 1, 8, 8),),
            str(path),
            input_names=["image"],
            output_names=list(names),
            dynamic_axes=axes,
            dynamo=False,
        )
    (folder / "labels.txt").write_text("ash\nbirch\ncedar\n")
    return path


def build_onnx(file: Path, home: Path) -> Path:
    meaning = from_onnx.Meaning(file.with_name("labels.txt"), mean=(0.5,), std=(0.25,))
    return from_onnx.build(file, "mine", meaning, home, lambda line: None)


def test_an_onnx_file_answers_scores_and_its_own_outputs(tmp_path: Path) -> None:
    network = load_network(build_onnx(onnx_file(tmp_path, Speaking(), names=("scores", "middle")), tmp_path))
    assert network.card.layers == {"middle": (2, 6, 6)}
    assert not network.card.differentiable
    subject = Subject.of(network.card, torch.rand(1, 8, 8).numpy())
    engine = Engine([network])
    found = engine.drive(classify(subject, layers=("middle",)))
    with torch.no_grad():
        logits, middle = Speaking()((subject.x[None] - 0.5) / 0.25)
    torch.testing.assert_close(torch.from_numpy(found["activations"]["middle"]), middle[0])
    assert found["prediction"]["index"] == int(logits.argmax())

    def wants_a_gradient():
        return (yield Gradient(subject.x, Logit(0)))

    with pytest.raises(BadParameter, match="Give a recipe with safetensors"):
        engine.drive(wants_a_gradient())
    engine.close()


def test_a_row_count_of_one_is_opened_where_the_graph_allows_it(tmp_path: Path) -> None:
    network = load_network(build_onnx(onnx_file(tmp_path, tiny(), rows=1), tmp_path))
    pixels = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        expected = tiny()((pixels - 0.5) / 0.25)
    torch.testing.assert_close(network.forward.forward(pixels).logits, expected)


class OneRowAlone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = tiny()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network[3](self.network[:2](x).reshape(1, 72))


def test_a_row_count_that_is_built_in_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"row count built in.*dynamic_axes"):
        build_onnx(onnx_file(tmp_path, OneRowAlone(), rows=1), tmp_path)


def test_labels_and_logits_have_to_agree(tmp_path: Path) -> None:
    file = onnx_file(tmp_path, tiny())
    (tmp_path / "labels.txt").write_text("ash\n")
    with pytest.raises(BadParameter, match="1 labels"):
        build_onnx(file, tmp_path)


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"no graph")
    (tmp_path / "labels.txt").write_text("ash\n")
    with pytest.raises(Unreadable, match="no valid ONNX file"):
        build_onnx(tmp_path / "mine.onnx", tmp_path)


def test_an_onnx_archive_is_renewed_as_it_was_built(tmp_path: Path) -> None:
    archive = build_onnx(onnx_file(tmp_path, tiny()), tmp_path)
    (tmp_path / "labels.txt").write_text("ash\nbeech\ncedar\n")
    ensure(["mine"], tmp_path, lambda line: None)
    assert read_card(archive).labels == ("ash", "beech", "cedar")
    assert read_card(archive).mean == (0.5,)


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_names_every_recipe(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--home", str(tmp_path)])
    assert done.exit_code == 0
    assert all(name in done.output for name in from_recipe.house())


def test_an_onnx_file_without_labels_is_told_what_it_lacks(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["build", "mine.onnx", "--home", str(tmp_path)])
    assert isinstance(done.exception, BadParameter)
    assert "--labels FILE" in done.exception.detail
