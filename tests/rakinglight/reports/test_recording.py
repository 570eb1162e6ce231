"""What `Recording.training` takes for the attack's own queries is that, as long as the operation asks in its order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store import digits
from rakinglight import in_process
from rakinglight.reports.recording import Recording, recorded

IMAGES = digits.pictures("test")[0][:24, 0]
QUICK: dict[str, Any] = {
    "seeds": 8,
    "rounds": 2,
    "epochs": 1,
    "epsilons": [0.05],
    "targeted": False,
    "white_box": False,
}


@pytest.fixture(scope="module")
def home(archive_store: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAKINGLIGHT_HOME", str(archive_store))
        yield archive_store


def stolen(*, control: bool) -> tuple[Recording, dict[str, Any]]:
    """What the model was asked, and the reply."""
    with in_process.local() as client:
        seen, recording = recorded(client)
        with seen:
            asked = {**QUICK, "control": control}
            reply = seen.model("lenet5-digits").ask("substitute", list(IMAGES), **asked)[0].reply
    return recording, reply


def trained_on(recording: Recording, reply: dict[str, Any]) -> np.ndarray[Any, Any]:
    seeded = [result["seed"] for result in reply["results"]]
    found = recording.training(seeded, max(QUICK["epsilons"]), reply["summary"]["queries"]["training"])
    assert found is not None
    return found[0]


def test_all_images_are_asked_about_first_and_the_loop_before_its_control(home: Path) -> None:
    (alone, without), (both, with_control) = stolen(control=False), stolen(control=True)
    assert with_control["summary"]["queries"]["control"] > 0
    assert len(both.images) > len(alone.images)
    first = [image[0].tolist() for image in both.images[: len(IMAGES)]]
    assert first == [image.tolist() for image in IMAGES]
    # Where there is no control, all that is not made of held-out images is the loop's.
    own = trained_on(alone, without)
    assert len(own) == without["summary"]["queries"]["training"] == 32
    assert np.array_equal(trained_on(both, with_control), own)
