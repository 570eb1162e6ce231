"""What a job was asked is kept whole, and told from what others ask."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from service.ask import Ask
from service.jobs.request import digest, from_bytes, to_bytes

MASK = np.zeros((64, 64), np.float32)


def asked(**members: Any) -> Ask:
    return Ask(**{"model": "small", "operation": "attack", "images": [b"one", MASK], "seed": 3} | members)


def test_it_comes_back_whole() -> None:
    ask = asked(parameters={"mask": MASK, "steps": 3}, deadline_s=2.5, caller="a", request_id="r")
    back = from_bytes(to_bytes(ask))
    for member in fields(Ask):
        np.testing.assert_equal(getattr(back, member.name), getattr(ask, member.name))


def other(y: int, x: int) -> np.ndarray[Any, Any]:
    """One that numpy prints as it does MASK, whose middle is left out."""
    changed = MASK.copy()
    changed[y, x] = 1.0
    return changed


@pytest.mark.parametrize(
    "members",
    [
        {"parameters": {"mask": other(30, 30)}},
        {"parameters": {"mask": MASK.reshape(32, 128)}},
        {"parameters": {"mask": MASK.astype(np.float64)}},
        {"parameters": {"deep": [{"mask": MASK}]}},
        {"parameters": {"mask": MASK.tobytes()}},
        {"compare": [{"parameters": {"mask": MASK}}]},
        {"images": [b"one", other(30, 30)]},
        {"images": [b"one"]},
        {"seed": 4},
    ],
)
def test_another_request_has_another_digest(members: dict[str, Any]) -> None:
    same = {"parameters": {"mask": MASK}}
    assert digest(asked(**same | members)) != digest(asked(**same))


def test_the_same_request_has_the_same_digest_whoever_asks() -> None:
    one = asked(parameters={"mask": MASK, "steps": np.int64(3)}, caller="a", request_id="r")
    assert digest(one) == digest(asked(parameters={"steps": 3, "mask": MASK.copy()}, caller="b", request_id="s"))
    assert digest(one) == digest(from_bytes(to_bytes(one)))


def test_what_cannot_be_told_from_others_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        digest(asked(parameters={"what": object()}))
