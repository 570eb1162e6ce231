"""Both engines on real networks; TorchServe is the real one, with its own Java and its own worker."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rakinglight.errors import BadParameter, NotFound
from rakinglight.question import Question
from service.engines.local import LocalEngine
from service.engines.torchserve import TorchServeEngine
from tests.end_to_end.conftest import answer, same

pytestmark = pytest.mark.asyncio(loop_scope="session")
Either = TorchServeEngine | LocalEngine


@pytest.fixture(scope="session")
def digits() -> list[np.ndarray[Any, Any]]:
    """Grey noise of the size that LeNet-5 takes: uint8 [32, 32, 1]."""
    noise = np.random.default_rng(0)
    return [noise.integers(0, 256, (32, 32, 1), dtype=np.uint8) for _ in range(26)]


def mixed(digits: list[np.ndarray[Any, Any]], photographs: dict[str, np.ndarray[Any, Any]]) -> list[Question]:
    """Thirty-two questions: three operations, several targets, methods and step counts, two networks, two sizes."""
    lenet, lite0 = "lenet5-digits", "efficientnet-lite0"
    cat, cup = photographs["chelsea"], photographs["coffee"]
    small = cat[:224, :224].copy()
    asked = []
    for i, x in enumerate(digits):
        match i % 4:
            case 0:
                asked.append(Question("classify", lenet, x, parameters={"top_k": 1 + i % 10}))
            case 1:
                asked.append(Question("saliency", lenet, x, parameters={"target": i % 10}))
            case 2:
                asked.append(Question("attack", lenet, x, method="fgsm", parameters={"epsilon": i / 255}))
            case _:
                settings = {"steps": 5 + i, "random_start": bool(i % 2), "norm": ("linf", "l2")[i // 4 % 2]}
                asked.append(Question("attack", lenet, x, method="pgd", seed=i, parameters=settings))
    return [
        *asked,
        Question("classify", lite0, cat),
        Question("classify", lite0, cup),
        Question("saliency", lite0, cat, parameters={"target": {"rank": 2}}),
        Question("saliency", lite0, small, parameters={"score": "probability"}),
        Question("attack", lite0, small, method="pgd", parameters={"steps": 3, "target": "espresso"}),
        Question("attack", lite0, cup[:200, :200].copy(), method="fgsm"),
    ]


async def test_merged_equals_alone(
    engine: Either, digits: list[np.ndarray[Any, Any]], photographs: dict[str, np.ndarray[Any, Any]]
) -> None:
    asked = mixed(digits, photographs)
    assert len(asked) == 32
    alone = [await answer(engine, question) for question in asked]
    before = await engine.snapshot()
    together = await asyncio.gather(*(answer(engine, question) for question in asked))
    after = await engine.snapshot()
    differ = [q for q, a, b in zip(asked, alone, together, strict=True) if not same(a["result"], b["result"])]
    assert not differ
    shared = {n: t - before["runs_a_pass"].get(n, 0) for n, t in after["runs_a_pass"].items() if int(n) > 1}
    assert sum(shared.values()) > 10, "they hardly shared passes"


async def test_the_models_are_known_without_torch(engine: Either) -> None:
    assert list(engine.models) == ["lenet5-digits", "efficientnet-lite0", "poisonous"]
    assert engine.models["efficientnet-lite0"].input_shape == (3, 224, 224)


async def test_a_photograph_is_named(engine: Either, photographs: dict[str, np.ndarray[Any, Any]]) -> None:
    found = await answer(engine, Question("classify", "efficientnet-lite0", photographs["chelsea"]))
    assert found["result"]["prediction"]["label"] == "Egyptian cat"
    assert found["cost"] == {"forward_rows": 1, "gradient_rows": 0}


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        pytest.param(Question("classify", "lenet", np.zeros((32, 32, 1), np.uint8)), NotFound, id="no such model"),
        pytest.param(
            Question("saliency", "lenet5-digits", np.zeros((32, 32, 1), np.uint8), parameters={"target": 10}),
            BadParameter,
            id="no such class",
        ),
    ],
)
async def test_a_problem_comes_back_as_what_it_is(engine: Either, question: Question, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        await answer(engine, question)


async def test_a_reply_larger_than_a_chunk_comes_whole(engine: Either) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    found = await answer(engine, Question("attack", "efficientnet-lite0", pixels, method="fgsm"))
    assert found["result"]["adversarial"].shape == (1500, 2000, 3)
    assert found["result"]["exact"]["image"].nbytes == 36_000_000


async def test_its_counters_are_told_with_the_workers(engine: Either) -> None:
    told = await engine.snapshot()
    assert told["networks"].keys() == engine.models.keys()
    if isinstance(engine, TorchServeEngine):
        assert told["host"].keys() == {"requests", "inference_s", "load_s"}
        assert all(number > 0 for number in told["host"].values())


async def test_its_files_are_private(engine: Either, home: Path) -> None:
    assert (home / "run").stat().st_mode & 0o077 == 0
    assert all(place.stat().st_mode & 0o077 == 0 for place in (home / "run").iterdir())
