"""The networks of this house: their weights, their names, their accuracy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_store import from_recipe
from model_store.build import check_name
from model_store.recipes import efficientnet_lite, torchvision_classics
from rakinglight.backends.torch_backend import Normalized
from rakinglight.engine import Engine
from rakinglight.errors import NotFound
from rakinglight.network import Network
from rakinglight.operations import classify
from rakinglight.subject import Subject


def test_every_recipe_has_a_name_of_its_own_and_a_file() -> None:
    assert sorted(from_recipe.house()) == [
        "alexnet",
        "dam-digits",
        "dam-digits-2",
        "dam-digits-2-tanh",
        "dam-digits-20",
        "dam-digits-20-tanh",
        "dam-digits-3",
        "dam-digits-3-tanh",
        "dam-digits-tanh",
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "googlenet",
        "lenet5-digits",
        "lenet5-digits-ensemble",
        "lenet5-digits-robust",
        "lenet5-digits-transformed",
        "resnet152",
        "resnet18",
        "resnet50",
        "vgg16",
        "vgg19",
    ]
    for name in from_recipe.house():
        check_name(name)


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_efficientnet_lite_is_the_published_network(variant: int, photographs: dict[str, np.ndarray]) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    recipe = efficientnet_lite.recipes[variant]
    assert callable(recipe.weights)
    ours = from_recipe.filled(recipe, recipe.weights())
    reference = EfficientNet.from_name(recipe.name).eval()
    reference.load_state_dict(torch.load(recipe.weights(), weights_only=True))
    side = recipe.input_shape[1]
    chelsea = torch.from_numpy(photographs["chelsea"][:side, :side].copy()).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        theirs = reference((chelsea - 127) / 128)
        logits = Normalized(ours, recipe.mean, recipe.std)(chelsea / 255)
    torch.testing.assert_close(logits, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("photograph", "label"), [("chelsea", "Egyptian cat"), ("coffee", "espresso")])
def test_lite0_names_what_it_sees(
    photograph: str, label: str, lite0: Network, photographs: dict[str, np.ndarray]
) -> None:
    engine = Engine([lite0])
    found = engine.drive(classify(Subject.of(lite0.card, photographs[photograph])))
    engine.close()
    assert found["prediction"]["label"] == label


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet18"])
def test_classics_have_rectifiers_out_of_place(name: str) -> None:
    network = torchvision_classics.untrained(name).eval().requires_grad_(False)
    rectifiers = [module for module in network.modules() if isinstance(module, torch.nn.ReLU)]
    assert rectifiers
    assert not any(rectifier.inplace for rectifier in rectifiers)
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_classics_take_the_users_file_first(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"vgg16{suffix}").touch()
    monkeypatch.setenv(torchvision_classics.FOLDER, str(tmp_path))
    assert torchvision_classics.weights("vgg16") == tmp_path / f"vgg16{suffix}"


def test_classics_without_file_and_network_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.delenv(torchvision_classics.FOLDER, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", away)
    with pytest.raises(NotFound, match=r"no route.*--weights FILE.*RAKINGLIGHT_WEIGHTS_DIR"):
        torchvision_classics.weights("vgg16")
