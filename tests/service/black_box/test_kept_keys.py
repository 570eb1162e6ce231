"""Keys of the database: how they come, what they say of themselves, and how they go."""

import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rakinglight.errors import BadParameter, Conflict, NotFound, RakinglightError
from service.database.pages import Page
from service.database.schema import keys
from tests.service.black_box.conftest import NUMBERS, Process


def name() -> str:
    return f"key-{next(NUMBERS)}"


def test_a_key_is_a_black_box_s_unless_it_says_otherwise(process: Process) -> None:
    members, secret = process.keys.make(new := name())
    assert secret.startswith("rl_") and len(secret) > 40
    assert members == {
        "id": members["id"],
        "name": new,
        "scopes": ["query"],
        "view": "label",
        "top_k": 5,
        "budget": None,
        "spent": 0,
        "rate": None,
        "response": "log",
        "noticed": None,
        "created_at": "2027-01-15T08:00:00.000Z",
        "expires_at": None,
        "revoked_at": None,
    }
    assert process.keys.get(members["id"]) == process.keys.get(new) == members


def test_a_secret_is_nowhere(process: Process) -> None:
    members, secret = process.keys.make(name())
    with process.database.reading() as connection:
        row = connection.execute(sa.select(keys).where(keys.c.id == members["id"])).one()
    assert secret not in str(row) and secret[3:] not in str(row)
    assert row.digest == sha256(secret.encode()).hexdigest()
    found = process.known(secret)
    assert secret not in repr(found) and row.digest not in repr(found)


def test_a_key_that_may_do_more_has_no_view(process: Process) -> None:
    members, _ = process.keys.make(name(), scopes=["query", "explain"])
    assert (members["view"], members["top_k"], members["budget"], members["response"]) == (None,) * 4


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        pytest.param({"name": "Bob"}, BadParameter, "'Bob'; it has 1 to 32", id="a name in capitals"),
        pytest.param({"name": ""}, BadParameter, "1 to 32", id="no name"),
        pytest.param({"name": "alice"}, Conflict, "key file", id="a name of the key file"),
        pytest.param({"name": "operator"}, Conflict, "key file", id="the operator's name"),
        pytest.param({"scopes": ["fly"]}, BadParameter, "'fly' is no scope", id="no such scope"),
        pytest.param({"scopes": []}, BadParameter, "scopes is empty", id="no scopes"),
        pytest.param({"view": "all"}, BadParameter, "'all' is no view", id="no such view"),
        pytest.param({"response": "shout"}, BadParameter, "'shout' is no response", id="no such response"),
        pytest.param({"budget": -1}, BadParameter, "budget is -1; it is from 0", id="a budget below 0"),
        pytest.param({"budget": True}, BadParameter, "budget is True", id="a budget that is no number"),
        pytest.param({"rate": -1}, BadParameter, "rate is -1", id="a rate below 0"),
        pytest.param({"budget": 10**13}, BadParameter, "from 0 to 1000000000000", id="more than a database counts"),
        pytest.param({"top_k": 0}, BadParameter, "top_k is 0", id="a view of no class"),
        pytest.param({"top_k": 1001}, BadParameter, "top_k is 1001", id="more classes than a reply has"),
        pytest.param({"budget": "ten"}, BadParameter, "budget is 'ten'; it is an integer from 0 to 10", id="a word"),
        pytest.param({"view": "label", "top_k": 3}, BadParameter, "view label does not use", id="classes of a label"),
        pytest.param({"view": "full", "top_k": 3}, BadParameter, "view full does not use", id="some of all classes"),
        pytest.param({"response": "round"}, BadParameter, "no probability to round", id="a label that is rounded"),
        pytest.param(
            {"expires_at": 1.0},
            BadParameter,
            "is 1970-01-01T00:00:01.*not to come.*2027-01-15.*9999-12-31",
            id="an end that is past",
        ),
        pytest.param({"expires_at": float("nan")}, BadParameter, "not to come", id="an end that is no time"),
        pytest.param({"expires_at": 1e300}, BadParameter, "not to come", id="an end that no clock reaches"),
        pytest.param({"scopes": ["attack"], "budget": 5}, BadParameter, "budget is for", id="a budget of attacks"),
        pytest.param({"scopes": ["metrics"], "view": "full"}, BadParameter, "view is for", id="a view of metrics"),
    ],
)
def test_what_makes_no_sense_is_refused(
    process: Process, said: dict[str, Any], kind: type[RakinglightError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        process.keys.make(**{"name": name(), **said})


def test_of_many_with_one_name_one_is_made_and_the_name_is_free_once_it_is_revoked(process: Process) -> None:
    new = name()

    def make(_: int) -> str:
        try:
            return str(process.keys.make(new)[0]["id"])
        except Conflict as e:
            return e.detail

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(make, range(12)))
    (first,) = [each for each in made if each.startswith("key_")]
    assert {each for each in made if each != first} == {
        f"There is a key {new!r} already; revoke that, or take another name."
    }
    assert process.keys.revoke(new)["id"] == first
    second, _ = process.keys.make(new)
    assert process.keys.get(new)["id"] == second["id"]
    assert process.keys.get(first)["revoked_at"] is not None


def test_who_is_revoked_or_out_of_time_is_not_found(process: Process) -> None:
    _, secret = process.keys.make(one := name())
    _, other = process.keys.make(two := name(), expires_at=process.clock.now + 10)
    assert (process.known(secret).name, process.known(other).name) == (one, two)
    process.keys.revoke(one)
    process.clock.now += 10
    for gone in (secret, other, "rl_never-was"):
        assert process.keys.find(sha256(gone.encode()).hexdigest()) is None


def test_a_budget_is_topped_up(process: Process) -> None:
    key = process.key(budget=5)
    assert process.keys.top_up(key.id, 7)["budget"] == 12
    for images, words in ((0, "from 1 to"), (-1, "images is -1.*To lower a budget"), (10**12, "the budget would be")):
        with pytest.raises(BadParameter, match=words):
            process.keys.top_up(key.id, images)
    process.keys.revoke(key.id)
    with pytest.raises(Conflict, match=r"was revoked at 20\d\d-"):
        process.keys.top_up(key.id, 1)
    with pytest.raises(Conflict, match="no budget"):
        process.keys.top_up(process.key().id, 1)


def test_who_names_a_revoked_key_hears_when_it_was_and_of_several_the_last(process: Process) -> None:
    old = name()
    for _ in range(2):
        last = process.keys.make(old)[0]["id"]
        process.keys.revoke(old)
        process.clock.now += 60
    for asked in (process.keys.get, process.keys.revoke, process.keys.clear, lambda key: process.keys.top_up(key, 1)):
        with pytest.raises(NotFound, match=rf"{old} was revoked at 2027-01-15T08:01:00.*{last}.*Make another"):
            asked(old)
    assert process.keys.get(last)["name"] == old


@pytest.mark.parametrize("key", ["key_" + "a" * 20, "nobody", "", "Bob", "a\0b", "\udcff", "x" * 5000])
def test_what_is_no_key_is_not_found(process: Process, key: str) -> None:
    for asked in (process.keys.get, process.keys.revoke, process.keys.clear, lambda key: process.keys.top_up(key, 1)):
        with pytest.raises(NotFound):
            asked(key)


def test_the_list_has_pages(process: Process) -> None:
    made = []
    for _ in range(5):
        process.clock.now = max(process.clock.now, time.time()) + 1000  # newer than those of other tests
        made.append(process.key().id)
    first = process.keys.list(Page(3))
    second = process.keys.list(Page(2, first["next_page_token"]))
    assert [key["id"] for key in first["keys"] + second["keys"]] == made[::-1]


def test_what_was_noticed_is_forgotten(process: Process, tmp_path: Path) -> None:
    key = process.key()
    with process.database.transaction() as connection:
        noticed = {"at": process.clock.now, "queries": 105, "score": 1.25}
        connection.execute(sa.update(keys).where(keys.c.id == key.id).values(noticed=noticed))
    assert process.keys.get(key.id)["noticed"] == {
        "at": "2027-01-15T08:00:00.000Z",
        "queries": 105,
        "score": 1.25,
        "times": 1,
        "over": False,
    }
    assert process.keys.clear(key.id)["noticed"] is None
