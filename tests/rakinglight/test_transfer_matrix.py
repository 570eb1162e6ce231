"""The transfer matrix of `robustness`: made on a model, tried on a model; by hand on linear ones."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rakinglight import catalogue, tables
from rakinglight.audit.matrix import matrix
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.operations.robustness import climber
from rakinglight.parameters import AttackChoice
from rakinglight.question import Question
from rakinglight.results import answers
from rakinglight.run import Run
from tests.networks import abacus_network, network_of

ROBUSTNESS = catalogue.operation("robustness")
PIXELS = np.random.default_rng(3).integers(60, 200, (4, 6, 1), dtype=np.uint8)
X = torch.from_numpy(PIXELS.transpose(2, 0, 1) / 255.0)
PGD = {"method": "pgd", "parameters": {"steps": 10}}


def linear(name: str, direction: torch.Tensor, margin: float) -> Network:
    """Class 1 is `margin` ahead of class 0 at X, and loses that along -`direction`, whose l1 norm is 1."""
    w = direction.flatten() / direction.abs().sum()
    module = nn.Sequential(nn.Flatten(), nn.Linear(24, 2))
    network = network_of(name, module, (1, 4, 6))
    with torch.no_grad():
        module[1].weight[:] = torch.stack([w * 0, w])
        module[1].bias[:] = torch.tensor([0.0, margin - float(X.flatten() @ w)])
    return network


#: Two that look at the same with the same weight, and one that looks at what they do not.
LEFT, RIGHT = torch.zeros(4, 6, dtype=torch.float64), torch.zeros(4, 6, dtype=torch.float64)
LEFT[:, :3], RIGHT[:, 3:] = 1, -1
NEAR, FAR, ELSE = linear("near", LEFT, 0.05), linear("far", LEFT, 0.15), linear("else", RIGHT, 0.05)
NETWORKS = [NEAR, FAR, ELSE]
NAMES = [network.card.name for network in NETWORKS]


def asked(networks: list[Network] = NETWORKS, **parameters: Any) -> Run[dict[str, Any]]:
    said = {"labels": 1, "methods": [PGD], "epsilons": [0.1], "checks": False, "models": NAMES[1:], **parameters}
    engine = Engine(networks)
    run = engine.submit(Question("robustness", networks[0].card.name, PIXELS, None, said).begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


def fooled(result: dict[str, Any]) -> dict[tuple[str, str], bool]:
    return {(cell["made_on"], cell["tried_on"]): cell["fooled"] for cell in result["transfer"]}


def test_on_linear_models_what_fools_one_fools_those_whose_border_lies_within_reach_in_its_direction() -> None:
    """A step of 0.1 against the sign of the weights takes 0.1 from the margin of whom they weigh with, else nothing."""
    found = fooled(asked().result)
    assert list(found) == [(made, tried) for made in NAMES for tried in NAMES]
    assert {pair for pair, was in found.items() if was} == {("near", "near"), ("far", "near"), ("else", "else")}


def test_in_a_larger_ball_the_further_border_is_reached_too() -> None:
    found = fooled(asked(epsilons=[0.01, 0.2]).result)
    assert {pair for pair, was in found.items() if was} == {
        *[(made, tried) for made in ("near", "far") for tried in ("near", "far")],
        ("else", "else"),
    }


def test_each_model_sees_it_through_its_own_view() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    small = network_of("small", module, (1, 2, 3))
    found = asked([NEAR, small], models=["small"]).result
    assert len(found["transfer"]) == 4


def test_on_a_model_without_gradients_nothing_is_made_and_it_is_tried_all_the_same() -> None:
    blind = abacus_network((1, 2, 4), name="blind", gradients=False)
    engine = Engine([abacus_network((1, 2, 4)), blind])
    said = {"labels": {"rank": 1}, "methods": [PGD], "epsilons": [0.9], "checks": False, "models": ["blind"]}
    run = engine.submit(Question("robustness", "abacus", PIXELS, None, said).begin(engine.networks))
    engine.run_until(lambda: run.over)
    # The two say the same of everything.
    assert fooled(run.result) == {("abacus", "abacus"): True, ("abacus", "blind"): True}


@pytest.mark.parametrize(
    ("methods", "by"),
    [
        (["auto"], "pgd"),  # which stops as soon as it is over the border
        (["deepfool", "square"], "pgd"),
        (["deepfool", "fgsm", "pgd"], "fgsm"),
        ([{"method": "apgd", "parameters": {"steps": 3}}], "apgd"),
    ],
)
def test_they_are_made_by_the_first_method_that_goes_as_far_as_it_may(methods: list[Any], by: str) -> None:
    filled, _ = ROBUSTNESS.check(None, {"labels": 0, "methods": methods, "norm": "l2"}, NEAR.card, images=1)
    chosen = climber([AttackChoice.model_validate(one) for one in filled["methods"]])
    assert chosen.method.name == by
    assert chosen.parameters.keys() >= set(chosen.method.own) - {"norm", "epsilon"}


def test_the_shares_are_of_the_images_that_the_tried_model_is_right_about() -> None:
    def cells(*found: tuple[bool, bool]) -> list[dict[str, Any]]:
        names = ("a", "b")
        return [
            {"made_on": "a", "tried_on": n, "correct": c, "fooled": f} for n, (c, f) in zip(names, found, strict=True)
        ]

    own, other = matrix(
        [cells((True, True), (True, False)), cells((True, False), (False, True)), cells((True, True), (True, True))]
    )
    assert (own["made_on"], own["tried_on"], own["fooled"]["count"], own["fooled"]["of"]) == ("a", "a", 2, 3)
    assert (other["made_on"], other["tried_on"], other["fooled"]["count"], other["fooled"]["of"]) == ("a", "b", 1, 2)


def test_the_summary_and_the_table_have_rows_by_maker_and_columns_by_who_is_tried() -> None:
    entries = [asked().result, {k: v for k, v in asked().result.items() if k != "transfer"}]  # of one, time ran out
    said = {"labels": 1, "methods": [PGD], "epsilons": [0.1], "checks": False, "models": NAMES[1:]}
    filled, _ = ROBUSTNESS.check(None, said, NEAR.card, images=1)
    summary = ROBUSTNESS.summarize(entries, filled)
    assert (summary["transfer"]["method"], summary["transfer"]["epsilon"]) == ("pgd", 0.1)
    (answer, _) = answers({"operation": "robustness", "results": entries, "summary": summary})
    assert answer.transfer["far", "near"].value == 1.0
    assert answer.transfer["near", "far"].value == 0.0
    drawn = tables.summarized("robustness", summary)[1]
    assert [column.header for column in drawn.columns] == ["pgd at 0.1 on", *(f"fools {name}" for name in NAMES)]
    assert list(drawn.columns[0].cells) == NAMES
    assert list(drawn.columns[1].cells)[2].startswith("0.0%")
