"""A model behind a chain of defences, as a thief would ask it: what it says, and that it says it again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_store import digits
from rakinglight import in_process
from rakinglight.defenses import Chain, read
from rakinglight.queries import Scores
from rakinglight.reports.views import Behind, said, through

RANDOM = {"name": "crop_rescale", "crops": 3, "side": 0.5}
ROWS = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Corner:
    """Says of a row its first pixels; `passes` are the rows of each."""

    name = "corner"

    def __init__(self) -> None:
        self.passes: list[Tensor] = []

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        self.passes.append(rows)
        return Scores(5 * rows[:, 0, 0, :4])


@pytest.fixture(scope="module")
def home(archive_store: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAKINGLIGHT_HOME", str(archive_store))
        yield archive_store


def behind(said: Any, seed: int = 0) -> Behind:
    return Behind(Corner(), Chain(read(said)), seed)


def test_it_says_what_the_model_says_of_what_the_defence_leaves(home: Path) -> None:
    image = digits.pictures("test")[0][0].transpose(1, 2, 0)
    chain = [{"name": "bit_depth", "bits": 1}, "median_blur"]
    with in_process.local() as client, through("full", client, Chain(read(chain))) as seen:
        plain, expected, found = (
            {one.label: one.probability for one in model.classify(image, top_k=10, **how).predictions}
            for model, how in (
                (client.model("lenet5-digits"), {}),
                (client.model("lenet5-digits"), {"defense": chain}),
                (seen.model("lenet5-digits"), {}),
            )
        )
    assert found == pytest.approx(expected, abs=1e-6)
    assert found != pytest.approx(plain, abs=1e-3)


def test_a_random_defence_is_the_mean_over_its_copies_and_the_same_again() -> None:
    model = behind(RANDOM)
    together = model.forward(ROWS).logits
    assert [len(rows) for rows in model.backend.passes] == [4, 4, 4]  # type: ignore[attr-defined]
    each = torch.stack([5 * rows[:, 0, 0, :4] for rows in model.backend.passes])  # type: ignore[attr-defined]
    torch.testing.assert_close(together.softmax(1), each.softmax(2).mean(0))
    alone = torch.cat([behind(RANDOM).forward(row[None]).logits for row in ROWS.flip(0)]).flip(0)
    assert torch.equal(together, alone)
    assert not torch.equal(together, behind(RANDOM, seed=1).forward(ROWS).logits)


def test_a_theft_behind_a_random_defence_is_the_same_again(home: Path) -> None:
    images = list(digits.pictures("test")[0][:16].transpose(0, 2, 3, 1))
    how = {"seeds": 8, "rounds": 1, "epochs": 1, "epsilons": [0.3], "targeted": False, "control": False, "seed": 3}
    made = []
    for _ in range(2):
        with in_process.local() as client, through("label", client, Chain(read(RANDOM)), seed=3) as seen:
            made.append(seen.model("lenet5-digits").ask("substitute", images, **how)[0].reply["summary"])
    first, again = ((one["curve"], one["queries"], bytes(one["archive"])) for one in made)
    assert first == again


def test_a_chain_is_named_by_what_was_chosen() -> None:
    assert said(
        Chain(read(["jpeg", {"name": "crop_rescale", "crops": 10, "side": 0.9}, {"name": "bit_depth", "bits": 3}]))
    ) == ("jpeg, then crop_rescale (crops 10, side 0.9), then bit_depth")
