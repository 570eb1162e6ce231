"""Parameters that are pictures: their forms, and the ways on which they come to an algorithm."""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field
from torch import nn
from typer.testing import CliRunner

from rakinglight import catalogue, cli, images
from rakinglight.call import Call
from rakinglight.card import Card
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.client import Client
from rakinglight.errors import BadParameter, NotAnImage, TooLarge
from rakinglight.in_process import InProcess
from rakinglight.inverted import Inverted
from rakinglight.method import Method
from rakinglight.network import Network
from rakinglight.parameters import Picture, Pictures, SomePicture
from rakinglight.picture_parameters import MOST, array_of, at_own_size, decoded, pictures_of, seen
from rakinglight.plan import Plan
from rakinglight.queries import Algorithm, Progress
from rakinglight.results import Inversion
from rakinglight.subject import Subject
from rakinglight.wire import array_to_json
from tests.networks import network_of

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
Shown = dict[str, Any]


def png(pixels: np.ndarray[Any, Any] = PIXELS) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def painted(
    x: torch.Tensor,
    card: Card,
    *,
    style: Annotated[Picture, Field(description="What it is to look like.")],
    start: SomePicture = None,
    masks: Pictures = (),
) -> Algorithm[Inverted]:
    """The mean of all pictures that were given."""
    given: list[Mapping[str, Any]] = [one for one in (style, start, *masks) if one is not None]  # type: ignore[misc]
    made = torch.stack([seen(card, one) for one in given]).mean(0)
    yield Progress(1, 2, best=made)
    return Inverted(made[None])


def asked(images_: int = 1, **parameters: Any) -> Plan:
    return Plan.of(NETWORK.card, PAINTING, images_, parameters=parameters)


PAINTING = Operation(
    OPERATIONS["inversion"].run, (Method(painted, needs_image=False),), include=("picture", "image"), picture="picture"
)
NETWORK = network_of("small", nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 5)), (3, 4, 4))


class One(InProcess):
    """The network of these tests, in this process."""

    def read_card(self, name: str) -> Card:
        return NETWORK.card

    def load_network(self, card: Card) -> Network:
        return NETWORK


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setitem(catalogue.OPERATIONS, "inversion", PAINTING)
    with Client(One()) as client:
        yield client


# ── what they are ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_which_parameters_are_pictures_is_read_from_their_types() -> None:
    assert PAINTING.pictures == {"style": False, "start": False, "masks": True}
    assert pictures_of(OPERATIONS["attack"].parameters(OPERATIONS["attack"].by_name["boundary"])) == {"start": False}
    assert OPERATIONS["classify"].pictures == {}


@pytest.mark.parametrize(
    ("given", "pointer", "why"),
    [
        ({}, "/parameters/style", "style is missing. What it is to look like."),
        ({"style": None}, "/parameters/style", "style is null: it is the base64 of"),
        ({"style": png(), "masks": png()}, "/parameters/masks", "it is a list of pictures"),
        ({"style": png(), "masks": [png()] * (MOST + 1)}, "/parameters/masks", "it lists 1001 pictures; at most 1000"),
        ({"style": png(), "masks": [png(), 3]}, "/parameters/masks", "masks is 3: it is the base64 of"),
        (
            {"style": png(), "start": {"dtype": "int64", "shape": [1], "data": "AAAAAAAAAAA="}},
            "/parameters/start",
            "no",
        ),
    ],
)
def test_what_is_none_is_refused_with_its_place(given: Shown, pointer: str, why: str) -> None:
    with pytest.raises(BadParameter, match=why) as refused:
        asked(**given)
    assert refused.value.errors[0].pointer == pointer


def test_a_plan_names_the_pictures_and_puts_what_was_decoded_into_its_questions_alone() -> None:
    plan = asked(style=png(), masks=[png(), png(PIXELS[:, :, 0])])
    assert list(plan.pictures) == ["/parameters/style", "/parameters/masks/0", "/parameters/masks/1"]
    plan = plan.showing({at: decoded(one, plan.card, at) for at, one in plan.pictures.items()})
    (question,) = plan.questions([PIXELS])
    np.testing.assert_array_equal(array_of(question.parameters["style"]), PIXELS)
    assert [array_of(mask).shape for mask in question.parameters["masks"]] == [(9, 7, 3), (9, 7, 1)]
    assert plan.parts[0].parameters["masks"] == [png(), png(PIXELS[:, :, 0])]
    assert json.loads(json.dumps(question.parameters)) == question.parameters


def test_the_door_tells_which_of_many_is_wrong() -> None:
    with pytest.raises(NotAnImage) as refused:
        decoded(base64.b64encode(b"nothing").decode(), NETWORK.card, "/parameters/masks/7")
    assert refused.value.errors[0].pointer == "/parameters/masks/7"
    with pytest.raises(TooLarge, match=r"2 pictures have .* bytes decoded"):
        asked(style=png()).showing(dict.fromkeys(("/a", "/b"), np.broadcast_to(np.uint8(0), (5000, 5000, 3))))


def test_what_is_seen_is_what_the_model_would_see_of_the_same_image() -> None:
    grey = PIXELS[:, :, :1]
    for pixels in (PIXELS, np.repeat(grey, 3, axis=2)):
        expected = Subject.of(NETWORK.card, pixels)
        torch.testing.assert_close(seen(NETWORK.card, array_to_json(pixels)), expected.seen)
        torch.testing.assert_close(at_own_size(NETWORK.card, array_to_json(pixels)), expected.x)
    torch.testing.assert_close(seen(NETWORK.card, array_to_json(grey)), expected.seen)
    exact = at_own_size(NETWORK.card, array_to_json(grey)).numpy()[:1]
    torch.testing.assert_close(at_own_size(NETWORK.card, array_to_json(exact)), expected.x)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_value_of_any_parameter_is_our_fault(name: str) -> None:
    operation = OPERATIONS[name]
    for method in operation.methods or (None,):
        for parameter in operation.parameters(method).model_fields:
            for value in (None, "x", "", [], [None], {}, {"dtype": "float32"}, True, -1, 1e400, 10**400, [[1]] * 3):
                with suppress(BadParameter):
                    operation.read(method, {parameter: value})


# ── how they come ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_python_a_picture_comes_as_any_image_does(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "waves.png"
    path.write_bytes(base64.b64decode(png()))
    model, floats = client.model("small"), np.ascontiguousarray(PIXELS.transpose(2, 0, 1) / np.float32(255))
    forms = [path, str(path), path.read_bytes(), PIXELS, Image.fromarray(PIXELS), floats, png(), array_to_json(floats)]
    found = [model.inversion(style=form) for form in forms]
    for answer in found:
        np.testing.assert_allclose(answer.image, found[0].image, atol=1e-6)
    again = model.inversion(**found[0].reply["parameters"])
    assert again.picture_png == found[0].picture_png
    with pytest.raises(FileNotFoundError):
        model.inversion(style="nowhere.png")


def test_a_folder_stands_for_the_pictures_in_it_by_name(tmp_path: Path) -> None:
    for place, name in enumerate(("b.png", "a.png", "notes.txt")):
        (tmp_path / name).write_bytes(bytes([place]))
    call = Call.of("units", "small", PIXELS, "dissection", masks=[tmp_path, bytes([7])])
    assert [base64.b64decode(mask) for mask in call.body["parameters"]["masks"]] == [b"\1", b"\0", b"\7"]


def test_a_list_of_pictures_may_mix_their_forms(client: Client) -> None:
    answer = client.model("small").inversion(style=PIXELS, masks=[PIXELS, Image.fromarray(PIXELS)])
    expected = seen(NETWORK.card, array_to_json(PIXELS))
    np.testing.assert_allclose(answer.image, expected, atol=1e-6)
    call = Call.of("attack", "small", PIXELS, "boundary", start=PIXELS)
    assert images.decode(base64.b64decode(call.body["parameters"]["start"])).tolist() == PIXELS.tolist()


def test_without_an_image_there_is_one_answer_and_no_list(client: Client) -> None:
    answer = client.model("small").inversion(style=PIXELS)
    assert isinstance(answer, Inversion)
    assert answer.picture.size == (4, 4)
    assert answer.reached.label.startswith("class ")
    with pytest.raises(AttributeError, match="no 'prediction'"):
        _ = answer.prediction
    (only,) = client.model("small").inversion([PIXELS], style=PIXELS)
    assert only.prediction.label.startswith("class ")
    assert client.model("small").inversion(PIXELS, style=PIXELS, include=[]).entry.keys().isdisjoint({"picture"})


def test_the_picture_so_far_comes_with_the_progress(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rakinglight.plan.PICTURE_S", 0.0)
    *_, answer = told = list(client.model("small").stream("inversion", style=PIXELS))
    pictures = [news.picture for news in told[:-1] if news.picture is not None]
    assert all(picture.size == (4, 4) for picture in pictures)
    assert isinstance(answer, Inversion)


def test_on_the_command_line_a_picture_is_a_file(archive_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "start.png"
    path.write_bytes(base64.b64decode(png(np.zeros((32, 32), np.uint8))))
    run = CliRunner().invoke
    asked = ["attack", str(path), "--local", "--model", "lenet5-digits", "--method", "boundary", "--queries", "5"]
    environment = {"RAKINGLIGHT_HOME": str(archive_store)}
    done = run(cli.app, [*asked, "--start", str(path), "--json"], env=environment)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["parameters"]["start"] == base64.b64encode(path.read_bytes()).decode()
    missing = run(cli.app, [*asked, "--start", "nowhere.png"], env=environment)
    assert (missing.exit_code, "nowhere.png" in missing.output) == (2, True)
    help_ = run(cli.app, ["attack", "--help"], env={"COLUMNS": "200"}).output
    assert "<file>" in help_


def test_on_the_command_line_a_picture_is_made_of_no_image(archive_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "three.png"
    asked = ["inversion", "--local", "--model", "lenet5-digits"]
    fooling = ["--method", "fooling", "--encoding", "direct", "--target", "3", "--queries", "20", "--noise-images", "2"]
    environment = {"RAKINGLIGHT_HOME": str(archive_store)}
    done = CliRunner().invoke(cli.app, [*asked, *fooling, "-o", str(out)], env=environment)
    assert done.exit_code == 0, done.output
    assert "the model sees in the picture" in done.output
    assert images.decode(out.read_bytes()).shape == (32, 32, 1)
    refused = CliRunner().invoke(cli.app, [*asked, "--method", "invert"], env=environment)
    assert (refused.exit_code, "needs one at least" in refused.output) == (2, True)
    moving = CliRunner().invoke(cli.app, [*asked, *fooling, "-o", "a.gif"], env=environment)
    assert moving.exit_code == 2
