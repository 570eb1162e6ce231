"""The catalogue: what a caller may set, the schema that says so, and the messages that teach."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from rakinglight.catalogue import OPERATIONS, Operation, operation
from rakinglight.errors import BadParameter, NotFound
from rakinglight.method import Method
from rakinglight.parameters import Rank
from tests.networks import abacus_network

CARD = replace(abacus_network().card, input_shape=(1, 8, 8))  # room for the seven cells of a mask
MANY = replace(CARD, labels=("crane", "ash", "crane", "Oak", "7"))

EVERY: list[tuple[Operation, Method[Any] | None]] = [
    (o, m) for o in OPERATIONS.values() for m in (list(o.methods) or [None])
]
each = pytest.mark.parametrize(
    ("asked", "method"), EVERY, ids=[f"{o.name}-{m.name}" if m else o.name for o, m in EVERY]
)


def least(asked: Operation, method: Method[Any] | None) -> dict[str, Any]:
    """What has to be said at least: most parameters have a default."""
    said: dict[str, Any] = {"models": ["another"], "perturbation": "pert_0123456789abcdefghij", "target": 1}
    said |= {"masks": ["iVBORw0KGgo="], "concepts": ["sky"], "style": "iVBORw0KGgo="}
    return {name: said[name] for name in asked.parameters(method).model_json_schema().get("required", ())}


# ── schemas and defaults ────────────────────────────────────────────────────────────────────────────────────────────


@each
def test_the_schema_is_valid_and_closed(asked: Operation, method: Method[Any] | None) -> None:
    schema = asked.parameters(method).model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    json.dumps(schema)


@each
def test_every_parameter_has_a_meaning_and_a_default_or_must_be_given(
    asked: Operation, method: Method[Any] | None
) -> None:
    for name, schema in asked.parameters(method).model_json_schema()["properties"].items():
        assert "default" in schema or name in least(asked, method), name
        described = [schema, *schema.get("anyOf", [])]
        assert any(part.get("description", "").endswith((".", "linf.")) for part in described), name


@each
def test_the_defaults_posted_back_repeat_the_call(asked: Operation, method: Method[Any] | None) -> None:
    beside = {"labels": 0} if "labels" in asked.own_parameters else {}  # or a dataset's
    if method and method.name == "activation_maximization":  # of a class or of a unit, whichever is said
        beside = {"target": 1}
    filled, (own,) = asked.check(method, least(asked, method) | beside, CARD, images=1)
    posted = json.loads(json.dumps(filled))
    assert asked.check(method, posted, CARD, images=1) == (filled, [own])
    jsonschema.validate(posted, asked.parameters(method).model_json_schema())


@each
def test_the_defaults_are_those_of_the_functions(asked: Operation, method: Method[Any] | None) -> None:
    written: dict[str, Any] = dict(asked.run.__kwdefaults__ or {})
    if method:
        written |= {**method.defaults, **(method.algorithm.__kwdefaults__ or {})}
    filled = asked.parameters(method)(**least(asked, method))
    assert {name: getattr(filled, name) for name in written} == written
    assert set(type(filled).model_fields) == set(written) | set(least(asked, method))


@each
def test_every_operation_and_method_has_a_first_sentence(asked: Operation, method: Method[Any] | None) -> None:
    assert asked.summary.strip()
    assert method is None or method.summary.endswith(".")


def test_the_first_method_is_the_one_meant_by_none() -> None:
    assert OPERATIONS["attack"].method(None) is OPERATIONS["attack"].methods[0]
    assert OPERATIONS["classify"].method(None) is None


@pytest.mark.parametrize(
    ("name", "methods"), [("classify", set()), ("saliency", {"gradient"}), ("attack", {"fgsm", "pgd"})]
)
def test_the_contracts_names_are_there(name: str, methods: set[str]) -> None:
    assert methods <= set(OPERATIONS[name].by_name)


@pytest.mark.parametrize("asked", OPERATIONS.values(), ids=OPERATIONS)
def test_a_picture_is_one_of_what_is_included(asked: Operation) -> None:
    assert asked.picture is None or asked.picture in asked.include


def test_the_catalogue_needs_no_torch() -> None:
    """The gateway checks parameters, and is up in two seconds."""
    code = "import sys, rakinglight.catalogue, rakinglight.question; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ── what a caller may write ─────────────────────────────────────────────────────────────────────────────────────────


def filled(name: str, method: str | None = None, **parameters: Any) -> dict[str, Any]:
    asked = operation(name)
    found, _ = asked.check(asked.method(method), parameters, CARD, images=1)
    return found


@pytest.mark.parametrize(
    ("written", "meant"),
    [(0.1, 0.1), ("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("0.1", 0.1), ("1e-3", 1e-3), (0, 0), (1, 1), ("1", 1)],
)
def test_epsilon_is_a_number_or_a_fraction(written: Any, meant: float) -> None:
    assert filled("attack", epsilon=written)["epsilon"] == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("grey", "grey"), ("blur", "blur"), (0, 0), (0.5, 0.5), ("0.5", 0.5), ("1", 1)]
)
def test_a_baseline_is_a_fill_or_a_value(written: Any, meant: Any) -> None:
    assert filled("saliency", "integrated_gradients", baseline=written)["baseline"] == meant


def test_in_l2_epsilon_may_be_over_one() -> None:
    assert filled("attack", norm="l2", epsilon=3)["epsilon"] == 3


@pytest.mark.parametrize(
    "target", [0, 3, "ash", "ASH", "2", {"rank": 1}, {"rank": -4}, None], ids=lambda target: json.dumps(target)
)
def test_a_class_is_an_index_a_label_or_a_rank(target: Any) -> None:
    assert filled("saliency", target=target)["target"] == target


@pytest.mark.parametrize(
    ("reference", "index"),
    [(3, 3), ("ash", 1), ("oak", 3), ("OAK", 3), ("7", 4), ("0", 0)],
    ids=["index", "label", "another case", "capitals", "a label of digits", "an index as text"],
)
def test_a_card_knows_which_class_is_meant(reference: int | str, index: int) -> None:
    assert MANY.class_index(reference) == index


def test_one_value_serves_all_images_and_a_list_serves_each() -> None:
    saliency = operation("saliency")
    for target, own in [(1, [1, 1, 1]), ([0, "ash", {"rank": 2}], [0, "ash", {"rank": 2}]), (None, [None] * 3)]:
        whole, each_image = saliency.check(saliency.method(None), {"target": target}, CARD, images=3)
        assert whole["target"] == target
        assert [image["target"] for image in each_image] == own


def test_a_rank_is_read_as_one() -> None:
    asked = operation("attack")
    assert asked.read(asked.method("pgd"), {"target": {"rank": 2}}).target == Rank(rank=2)  # type: ignore[attr-defined]


# ── what teaches ────────────────────────────────────────────────────────────────────────────────────────────────────

TEACHING = [
    # operation, method, parameters, pointer, and what the message holds: the value, the limit, the remedy
    (
        "attack",
        "fgsm",
        {"epsilon": -1},
        "/parameters/epsilon",
        "epsilon is -1: input should be greater than or equal to 0",
    ),
    ("attack", "fgsm", {"epsilon": 8}, "/parameters/epsilon", "epsilon is 8: .* a linf ball of 1 .* '8/255'"),
    (
        "attack",
        "fgsm",
        {"epsilon": 1e9},
        "/parameters/epsilon",
        "1000000000.0: .* less than or equal to 1000",
    ),
    ("attack", "fgsm", {"epsilon": "3%"}, "/parameters/epsilon", "'3%' is a percentage; write it .* 0.03 or '8/255'"),
    ("attack", "fgsm", {"epsilon": "8/0"}, "/parameters/epsilon", "neither a number nor a fraction such as '8/255'"),
    ("attack", "fgsm", {"epsilon": "much"}, "/parameters/epsilon", "'much' is neither a number nor a fraction"),
    ("attack", "fgsm", {"epsilon": float("nan")}, "/parameters/epsilon", "epsilon is nan: "),
    ("attack", "fgsm", {"epsilon": float("inf")}, "/parameters/epsilon", "epsilon is inf: "),
    ("attack", "fgsm", {"epsilon": None}, "/parameters/epsilon", "epsilon is null: input should be a valid number"),
    (
        "attack",
        "fgsm",
        {"epsilon": [0.1]},
        "/parameters/epsilon",
        r"epsilon is \[0.1\]: .* a valid number",
    ),
    ("attack", "fgsm", {"norm": "l3"}, "/parameters/norm", "norm is 'l3': input should be 'linf' or 'l2'"),
    ("attack", "fgsm", {"steps": 5}, "/parameters/steps", "'steps' is no parameter of attack by fgsm"),
    ("attack", "pgd", {"step": 5}, "/parameters/step", "'step' is no parameter .* did you mean 'steps'"),
    ("attack", "pgd", {"eps": 0.1}, "/parameters/eps", "did you mean .*'steps'|did you mean .*'epsilon'|there is"),
    ("attack", "pgd", {"steps": 0}, "/parameters/steps", "steps is 0: input should be greater than or equal to 1"),
    ("attack", "pgd", {"steps": 1001}, "/parameters/steps", "steps is 1001: .* less than or equal to 1000"),
    ("attack", "pgd", {"steps": 2.5}, "/parameters/steps", "steps is 2.5: input should be a valid integer"),
    ("attack", "pgd", {"step_size": 0}, "/parameters/step_size", "step_size is 0: input should be greater than 0"),
    (
        "attack",
        "pgd",
        {"random_start": "maybe"},
        "/parameters/random_start",
        "is 'maybe': .* valid boolean",
    ),
    ("attack", "pgd", {"target": 4}, "/parameters/target", "4 is no class of abacus: it has 4, 0 to 3"),
    ("attack", "pgd", {"target": -1}, "/parameters/target", "-1 is no class of abacus: it has 4, 0 to 3"),
    ("attack", "pgd", {"label": "birk"}, "/parameters/label", "'birk' is no class of abacus: did you mean 'birch'"),
    ("saliency", None, {"target": 1.5}, "/parameters/target", "target is 1.5: a class is its index, its label, or"),
    ("saliency", None, {"target": True}, "/parameters/target", "target is True: a class is"),
    ("saliency", None, {"target": {"rank": 0}}, "/parameters/target", "rank 0 is none: the first of 4 classes is 1"),
    ("saliency", None, {"target": {"rank": 5}}, "/parameters/target", "rank 5 is none: .* the last is -1"),
    ("saliency", None, {"target": {"place": 1}}, "/parameters/target", r"target is \{'place': 1\}: a class is"),
    (
        "saliency",
        None,
        {"target": [0, 1]},
        "/parameters/target",
        "lists 2 values for 1 images; give one value, or",
    ),
    ("saliency", None, {"target": [9]}, "/parameters/target", "9 is no class of abacus"),
    ("saliency", None, {"score": "logits"}, "/parameters/score", "score is 'logits': input should be 'logit', "),
    ("saliency", "smoothgrad", {"n_samples": 0}, "/parameters/n_samples", "n_samples is 0: .* or equal to 1"),
    ("saliency", "vargrad", {"n_samples": 1001}, "/parameters/n_samples", "is 1001: .* less than or equal to 1000"),
    ("saliency", "smoothgrad", {"noise_level": 2}, "/parameters/noise_level", "is 2: .* less than or equal to 1"),
    ("saliency", "smoothgrad", {"noise_level": "15%"}, "/parameters/noise_level", "is a percentage; write it .* 0.03"),
    ("saliency", "integrated_gradients", {"n_steps": 0}, "/parameters/n_steps", "n_steps is 0: .* or equal to 1"),
    (
        "saliency",
        "integrated_gradients",
        {"baseline": "gray"},
        "/parameters/baseline",
        r"baseline is 'gray': it is 'grey', 'mean', 'blur', 'noise', or a value in \[0, 1\] such as 0.5",
    ),
    ("saliency", None, {"evaluate": "deletion"}, "/parameters/evaluate", "evaluate is 'deletion': .* Figures that say"),
    ("saliency", None, {"boxes": [[0, 0, 10]]}, "/parameters/boxes", r"boxes is .* \[top, left, bottom, right\]"),
    ("saliency", None, {"boxes": [0, 0, 9, 9]}, "/parameters/boxes", r"boxes is 0: .* \[top, left, bottom, right\]"),
    ("saliency", "integrated_gradients", {"baseline": 2}, "/parameters/baseline", "is 2: .* less than or equal to 1"),
    ("saliency", "integrated_gradients", {"baseline": True}, "/parameters/baseline", "a truth value is no number"),
    (
        "saliency",
        "second_order",
        {"sigma": 0},
        "/parameters/sigma",
        "sigma is 0: .* or equal to 0.001",
    ),
    (
        "saliency",
        "second_order",
        {"noise_levels": 0.1},
        "/parameters/noise_levels",
        "'noise_levels' is no parameter of saliency by second_order: there is 'baseline', ",
    ),
    (
        "saliency",
        "gradient",
        {"n_samples": 5},
        "/parameters/n_samples",
        "'n_samples' is no parameter of saliency by gradient: it belongs to smoothgrad, vargrad, ",
    ),
    ("classify", None, {"top_k": 0}, "/parameters/top_k", "top_k is 0: input should be greater than or equal to 1"),
    ("classify", None, {"top_k": True}, "/parameters/top_k", "top_k is True: a truth value is no number"),
    ("attack", "pgd", {"steps": "5"}, "/parameters/steps", "steps is '5': a number stands without quotes"),
    ("attack", "pgd", {"steps": "ten"}, "/parameters/steps", "steps is 'ten': it is no number"),
    ("attack", "deepfool", {"epsilon": 0.1}, "/parameters/epsilon", "deepfool: it has no ball, and looks for the sm"),
    ("attack", "fgsm", {"restarts": 2}, "/parameters/restarts", "by fgsm: it belongs to pgd, apgd"),
    ("attack", "pgd", {"target": 9999}, "/parameters/target", "^9999 is no class of "),
    (
        "attack",
        "universal",
        {"perturbation": {"dtype": "float32", "shape": [3, 8, 8], "data": "AAAA"}},
        "/parameters/perturbation",
        "'AAAA'}: data holds 3 bytes, float32 of shape .* is 768[.]$",
    ),
    ("robustness", None, {"methods": "pgd"}, "/parameters/methods", 'is a list, such as \\["pgd"\\]'),
    ("robustness", None, {"epsilons": 0.1}, "/parameters/epsilons", "is a list, such as \\[0.1\\]"),
    ("robustness", None, {"epsilons": []}, "/parameters/epsilons", "epsilons is an empty list; it needs one at least"),
    ("universal", "gradient", {"epsilon": 0}, "/parameters/epsilon", "epsilon is 0: .* greater than 0"),
    ("universal", "deepfool", {"epsilon": 0}, "/parameters/epsilon", "epsilon is 0: .* greater than 0"),
    ("attack", "pgd", {"epsilon": "8/"}, "/parameters/epsilon", "'8/' is neither a number nor a fraction"),
    ("attack", "pgd", {"epsilon": "1/2/3"}, "/parameters/epsilon", "'1/2/3' is neither a number nor a fraction"),
    ("attack", "pgd", {"target": {"rank": 1, "of": 2}}, "/parameters/target", "'of': 2}: a class is its index"),
    ("classify", None, {str(i): i for i in range(99)}, "/parameters", "99 names are no parameters of classify, '0'"),
    ("classify", None, {"layers": [1] * 10**6}, "/parameters/layers", "layers is 1: input should be a valid string"),
    ("classify", None, {"layers": ["a"] * 9}, "/parameters/layers", "layers is .* at most 8 items"),
    ("classify", None, {"layers": "doubled"}, "/parameters/layers", "layers is 'doubled': "),
    ("classify", None, {"zzz": 1}, "/parameters/zzz", "no parameter of classify: there is 'defense', 'detector'"),
]


@pytest.mark.parametrize(
    ("name", "method", "parameters", "pointer", "message"), TEACHING, ids=[f"{t[0]}-{t[2]}"[:50] for t in TEACHING]
)
def test_a_mistake_is_answered_with_its_place_the_limit_and_the_remedy(
    name: str, method: str | None, parameters: dict[str, Any], pointer: str, message: str
) -> None:
    asked = operation(name)
    with pytest.raises(BadParameter, match=message) as caught:
        asked.check(asked.method(method), parameters, CARD, images=1)
    assert [e.pointer for e in caught.value.errors] == [pointer]
    assert len(caught.value.detail) < 400


def test_every_field_at_fault_is_named_at_once() -> None:
    asked = operation("attack")
    with pytest.raises(BadParameter) as caught:
        asked.check(asked.method("pgd"), {"epsilon": -1, "steps": 0, "colour": "red"}, CARD, images=1)
    assert [e.pointer for e in caught.value.errors] == [
        "/parameters/epsilon",
        "/parameters/steps",
        "/parameters/colour",
    ]


def test_what_a_caller_sent_is_shown_in_short() -> None:
    asked = operation("attack")
    with pytest.raises(BadParameter) as caught:
        asked.check(asked.method("pgd"), {"norm": "x" * 10_000}, CARD, images=1)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("attack", "pdg", "'pdg' is no method of attack: did you mean 'pgd' or 'apgd'?"),
        ("saliency", "smoothgrads", "'smoothgrads' is no method of saliency: did you mean 'smoothgrad'?"),
        (
            "saliency",
            "lime",
            (
                "'lime' is no method of saliency: there is 'deconvnet', 'grad_cam', 'gradient', 'gradient_x_input', "
                "'guided_backprop', 'integrated_gradients', 'second_order', 'smoothgrad', 'vargrad'."
            ),
        ),
        ("classify", "gradient", "classify has no methods, so 'gradient' is not one; leave it out."),
    ],
)
def test_an_unknown_method_is_answered_with_the_near_ones(name: str, method: str, message: str) -> None:
    with pytest.raises(BadParameter) as caught:
        operation(name).method(method)
    assert caught.value.detail == message
    assert caught.value.errors[0].pointer == "/method"


def test_an_unknown_operation_is_answered_with_the_near_ones() -> None:
    with pytest.raises(NotFound, match="There is no operation 'salience': did you mean 'saliency'"):
        operation("salience")


def test_an_unknown_layer_is_answered_with_the_near_ones() -> None:
    with pytest.raises(NotFound, match="abacus has no layer 'double': did you mean 'doubled'"):
        operation("classify").check(None, {"layers": ["double"]}, CARD, images=1)


def test_an_ambiguous_label_is_answered_with_the_indices() -> None:
    with pytest.raises(BadParameter, match="'crane' names 2 classes; use an index: 0, 2"):
        MANY.class_index("crane")
