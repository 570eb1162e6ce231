"""Errors: each knows its status, survives the wire and a process's edge, and says what was probably meant."""

import pickle

import pytest

from rakinglight import errors
from rakinglight.errors import (
    CODES,
    BadParameter,
    CallerError,
    FieldError,
    InternalError,
    Overloaded,
    from_problem,
    near,
    shown,
)

each_code = pytest.mark.parametrize("kind", CODES.values(), ids=CODES)


def test_what_is_wrong_at_one_place_is_said_in_one_line() -> None:
    wrong = BadParameter.at("/parameters/window", "0 is no window.")
    assert (wrong.detail, wrong.errors) == ("0 is no window.", (FieldError("/parameters/window", "0 is no window."),))


@each_code
def test_an_error_survives_its_problem(kind: type[errors.RakinglightError]) -> None:
    error = kind("42 is over 41; give less.", errors=[FieldError("/steps", "too many")], retry_after_s=2.5)
    again = from_problem(error.problem())
    assert type(again) is kind
    assert (again.detail, again.errors, again.retry_after_s) == (error.detail, error.errors, error.retry_after_s)


@each_code
def test_an_error_survives_another_process(kind: type[errors.RakinglightError]) -> None:
    error = kind("42 is over 41.", errors=[FieldError("/steps", "too many")], retry_after_s=1.0)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.problem() == error.problem()


@each_code
def test_a_problem_has_what_rfc_9457_asks_for(kind: type[errors.RakinglightError]) -> None:
    problem = kind("A detail.").problem()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert 400 <= problem["status"] < 600
    assert problem["title"]
    assert not problem["title"].endswith(".")


@each_code
def test_a_caller_can_mend_what_is_4xx_and_only_that(kind: type[errors.RakinglightError]) -> None:
    assert issubclass(kind, CallerError) == (400 <= kind.status < 500)


def test_every_class_that_is_raised_has_a_code_of_its_own() -> None:
    leaves = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    leaves = [kind for kind in leaves if not kind.__subclasses__()]
    assert set(leaves) == set(CODES.values())


def test_the_picture_at_the_head_of_the_file_is_the_tree() -> None:
    picture = errors.__doc__ or ""
    for kind in CODES.values():
        assert any(kind.__name__ in line and str(kind.status) in line for line in picture.splitlines())


def test_a_problem_of_unknown_origin_is_our_own_fault() -> None:
    assert type(from_problem({})) is InternalError
    assert type(from_problem({"code": "TEAPOT", "detail": "short and stout"})) is InternalError


def test_fields_and_patience_appear_only_where_there_are_any() -> None:
    assert Overloaded("Full.", retry_after_s=1.5).problem()["retry_after_s"] == 1.5
    wrong = BadParameter("No.", errors=[FieldError("/a", "b")])
    assert wrong.problem()["errors"] == [{"pointer": "/a", "detail": "b"}]


@pytest.mark.parametrize(
    ("name", "names", "end"),
    [
        ("pdg", ["pgd", "fgsm"], "did you mean 'pgd'?"),
        ("quux", ["b", "a"], "there is 'a', 'b'."),
        ("zzz", [f"layer{i:02}" for i in range(20)], "'layer11' and 8 more."),
        ("zzz", [f"layer{i:02}" for i in range(14)], "'layer12', 'layer13'."),
    ],
)
def test_an_unknown_name_is_answered_with_the_near_ones(name: str, names: list[str], end: str) -> None:
    assert near(name, names).endswith(end)


def test_a_name_without_end_is_answered_as_soon() -> None:
    assert near("pgd" * 10**6, ["pgd", "fgsm"]) == "there is 'fgsm', 'pgd'."


def test_of_a_great_many_faults_the_first_are_named_and_the_others_counted() -> None:
    wrong = BadParameter("No.", errors=[FieldError(f"/{i}", "b") for i in range(1000)])
    assert [e.pointer for e in wrong.errors] == [*(f"/{i}" for i in range(errors.FIELDS - 1)), ""]
    assert wrong.errors[-1].detail == f"And {1000 - errors.FIELDS + 1} more."
    assert from_problem(wrong.problem()).errors == wrong.errors


def test_what_an_error_says_has_an_end_and_can_be_written() -> None:
    wrong = BadParameter("\ud800" + "a" * 10**6, errors=[FieldError("/" + "b" * 10**6, "c" * 10**6)])
    assert len(wrong.detail) == errors.DETAIL_LENGTH
    assert wrong.detail[:2] + wrong.detail[-1] == "?a…"
    assert {len(wrong.errors[0].pointer), len(wrong.errors[0].detail)} == {errors.FIELD_LENGTH}
    assert from_problem(wrong.problem()).detail == wrong.detail


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("8/255", "'8/255'"),
        ({"rank": [1, 2.5, None]}, "{'rank': [1, 2.5, null]}"),
        ([0] * 10**6, "[0, 0, 0, 0, 0, 0, 0, 0, …]"),
        ({i: i for i in range(10**6)}, "{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, …}"),
        ([[[["deep"]]]], "[[[…]]]"),
        ("x" * 10**6, "'" + "x" * 78 + "…"),
    ],
    ids=["text", "small", "long", "wide", "deep", "wordy"],
)
def test_a_value_is_shown_in_short(value: object, words: str) -> None:
    assert shown(value) == words
