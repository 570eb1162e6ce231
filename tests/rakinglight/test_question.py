"""A question crosses from a door to an engine and means the same there; what is wrong with it is said, not believed."""

import math
import time
from typing import Any

import numpy as np
import pytest

from rakinglight.engine import Engine
from rakinglight.errors import BadParameter, NotFound, RakinglightError
from rakinglight.queries import Forward
from rakinglight.question import Question
from rakinglight.wire import Frame
from tests.networks import abacus_network

GREY = np.full((2, 3, 1), 128, dtype=np.uint8)
NETWORKS = {"abacus": abacus_network(), "oak": abacus_network(name="oak")}


def test_a_question_survives_the_wire() -> None:
    question = Question("attack", "abacus", GREY, "pgd", {"epsilon": 0.1, "target": {"rank": 2}}, 7, 1.5, 100, "ada")
    again = Question.from_body(Frame.read(bytes(Frame("request", question.to_body()))).body)
    assert np.array_equal(again.pixels, GREY)
    assert again.pixels.dtype == np.uint8
    for name in ("operation", "model", "method", "parameters", "seed", "seconds", "max_rows", "caller"):
        assert getattr(again, name) == getattr(question, name)


def test_a_question_that_crossed_is_answered_alike() -> None:
    question = Question("attack", "abacus", GREY, "pgd", {"target": {"rank": -1}, "random_start": True}, seed=3)
    again = Question.from_body(Frame.read(bytes(Frame("request", question.to_body()))).body)
    results = []
    for asked in (question, again):
        engine = Engine(NETWORKS.values())
        run = engine.submit(asked.begin(engine.networks))
        engine.run_until(lambda run=run: run.over)  # type: ignore[misc]
        results.append(run.result["exact"]["image"])
    assert np.array_equal(*results)


def test_its_run_has_the_limits_that_were_asked_for() -> None:
    before = time.monotonic()
    run = Question("attack", "abacus", GREY, seconds=5, max_rows=20, caller="ada").begin(NETWORKS)
    assert before + 5 <= run.deadline <= time.monotonic() + 5
    assert (run.max_rows, run.reserve, run.caller) == (20, 2, "ada")


def test_without_a_budget_there_is_no_limit() -> None:
    assert Question("classify", "abacus", GREY).begin(NETWORKS).max_rows == math.inf


@pytest.mark.parametrize("model", NETWORKS)
def test_its_queries_go_to_the_network_it_names(model: str) -> None:
    asked = next(Question("classify", model, GREY).begin(NETWORKS).algorithm)
    assert isinstance(asked, Forward)
    assert asked.network == model


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"model": "abakus"}, NotFound, "There is no model 'abakus': did you mean 'abacus'?", id="model"),
        pytest.param({"operation": "attac"}, NotFound, "did you mean 'attack'?", id="operation"),
        pytest.param({"method": "pdg"}, BadParameter, "did you mean 'pgd' or 'apgd'?", id="method"),
        pytest.param({"parameters": {"epsilon": -1}}, BadParameter, "epsilon is -1: ", id="out of range"),
        pytest.param({"parameters": {"epsilom": 1}}, BadParameter, "did you mean 'epsilon'?", id="unknown parameter"),
        pytest.param({"parameters": {"self": 1}}, BadParameter, "'self' is no parameter", id="a name of Python's"),
    ],
)
def test_an_engine_does_not_trust_its_mail(changes: Any, error: type[RakinglightError], message: str) -> None:
    body = Question("attack", "abacus", GREY).to_body() | changes
    with pytest.raises(error) as caught:
        Question.from_body(body).begin(NETWORKS)
    assert message in str(caught.value)


@pytest.mark.parametrize("target", [4, -1, "elm", {"rank": 5}, {"rank": 0}], ids=str)
def test_a_class_that_is_none_is_refused_before_it_costs_a_row(target: Any) -> None:
    with pytest.raises(BadParameter) as caught:
        Question("saliency", "abacus", GREY, parameters={"target": target}).begin(NETWORKS)
    assert caught.value.errors[0].pointer == "/parameters/target"


def test_a_list_of_one_class_is_that_class() -> None:
    engine = Engine(NETWORKS.values())
    run = engine.submit(Question("saliency", "abacus", GREY, parameters={"target": [2]}).begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert run.result["target"]["index"] == 2


def test_sixteen_maps_of_a_telephone_s_photograph_are_let_aboard() -> None:
    """Twelve megapixels: what is waited for and what is aboard together are within the gate's own limits."""
    photograph = np.broadcast_to(np.uint8(0), (3000, 4000, 3))
    waiting, aboard = 12 * 2**30, 3 * 2**30
    assert 16 * Question("saliency", "small", photograph).working_bytes < waiting
    assert Question("attack", "small", photograph).working_bytes < aboard
