"""Units through a service: at once, and as jobs with masks; masks of another size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rakinglight.client import Client, connect
from rakinglight.errors import BadParameter
from tests.rakinglight.house import KEY, House


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home: Path = tmp_path_factory.mktemp("home")
    house = House(home)
    with connect(house.url, KEY) as client:
        yield client
    house.close()


IMAGES = list(np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8))
MASKS = list(np.random.default_rng(1).integers(0, 3, (5, 20, 30, 1), dtype=np.uint8))


def test_a_service_answers_as_the_library_does(client: Client) -> None:
    model = client.model("small")
    assert model.units([], "filters")["weights"].shape == (4, 3, 3, 3)  # type: ignore[call-overload]
    found = model.units(IMAGES, "top_patches", count=2)
    assert found[0]["field"] == [3, 3]
    assert len(found[0]["units"]) == 4
    assert found[0].picture.size


def test_dissection_is_a_job_and_says_which_mask_is_wrong(client: Client) -> None:
    model = client.model("small")
    found = model.units(IMAGES, "dissection", masks=MASKS, concepts=["ink", "paper"], quantile=0.1)
    assert found[0]["iou"].shape == (4, 2)
    assert set(found[0]["histogram"]) == {"ink", "paper"}
    assert found[0]["pixels"]["ink"] > 0
    assert found[4].prediction.label
    with pytest.raises(BadParameter, match="There are 4 masks for 5 images"):
        model.units(IMAGES, "dissection", masks=MASKS[:4], concepts=["ink", "paper"])
    with pytest.raises(BadParameter, match="the value 2, and concepts names 1"):
        model.units(IMAGES, "dissection", masks=MASKS, concepts=["ink"])
    with pytest.raises(BadParameter, match="30×20 pixels, and its image 20×30"):
        model.units(IMAGES, "dissection", masks=[*MASKS[:4], MASKS[4].swapaxes(0, 1)], concepts=["ink", "paper"])
