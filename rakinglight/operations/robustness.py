"""How often the model stays right, the further an attacker may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rakinglight.audit import checks as audit
from rakinglight.audit.attempts import attempted, climbs, front_door, looks_for_nearest
from rakinglight.audit.matrix import matrix, tried_on_all
from rakinglight.audit.statistics import share
from rakinglight.audit.trials import trials
from rakinglight.card import Card
from rakinglight.errors import BadParameter, FieldError, near, shown
from rakinglight.example import Example
from rakinglight.front_door import Verdict
from rakinglight.method import Chosen, Method
from rakinglight.norms import NormName
from rakinglight.objectives import Goal
from rakinglight.parameters import (
    AttackChoice,
    Attacks,
    Checks,
    Defenses,
    Draws,
    Epsilons,
    MatrixModels,
    NormChoice,
    TrueLabels,
    as_fraction,
)
from rakinglight.queries import Algorithm, Progress, State, Stopped
from rakinglight.relays import relayed, resumable, so_far
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

#: Classes among which the label is looked for where the first answer is not all that counts.
TOP = 5
#: An epsilon is met by a picture that is this much further: grey levels are no round numbers in binary.
SLACK = 1e-6
#: Of a method's parameters, those that `robustness` gives it.
GIVEN = ("norm", "epsilon")

#: Where there is a defence: what is measured of the model without, which is what the defence is held against, and what
#: of the model behind it.
CONTROLS, DEFENDED = ("undefended", "rounded"), ("oblivious", "adaptive")
LINES = (*CONTROLS, *DEFENDED)
#: What an attacker finds out about: one who does not know of the defence, of the model without too.
FINDS = {"oblivious": ("undefended", "rounded", "oblivious"), "adaptive": ("adaptive",)}

AUTO = (AttackChoice(method="auto"),)

UPPER_BOUND = (
    "Robust accuracy is an upper bound: an image that no attack here broke may be broken by another. Top-5 is the "
    "accuracy under attacks on the first answer, not on the first five."
)


def robustness(
    subject: Subject,
    state: State | None = None,
    *,
    labels: TrueLabels = None,
    methods: Attacks = AUTO,
    epsilons: Epsilons = (1 / 255, 2 / 255, 4 / 255, 8 / 255),
    norm: NormChoice = "linf",
    checks: Checks = True,
    defense: Defenses = (),
    draws: Draws = 10,
    models: MatrixModels = (),
) -> Algorithm[dict[str, Any]]:
    """Measure how accurate the model is under attack, against epsilon, and whether that can be believed.

    Of one image: every epsilon, from the smallest, is tried by one method after the other until the image is broken, as
    an 8-bit picture proves. It is then broken at all larger ones too, whose balls hold that picture. A method that
    looks for the nearest picture is asked once, and how far that is decides. An image that is misclassified without
    counts as broken, and nothing attacks it.

    Behind a defence two attackers try: one who does not know of it and attacks the model without, and one who does. An
    image that either breaks is broken. Beside them stand the model without the defence, and that for pictures that
    were only rounded to 8 bits: the controls.

    state  from which to go on, as its Progress had it
    """
    state = state or {}
    assert labels is not None, "`complete` has seen to it"
    judge = subject.behind(defense, draws)
    logits = state["logits"] if state else (yield from judge.scores(subject.x))
    plain = logits
    if defense:
        plain = state["plain"] if state else (yield from subject.scores(subject.x))
    y = subject.class_index(labels, logits)
    case = Case(subject, judge, plain, logits, y, norm, sorted(set(epsilons)))
    attacks = [chosen(one) for one in methods]
    result, stopped = yield from so_far(_attacked(case, attacks, models, climber(methods), checks, state))
    return {**result, "partial": True} if stopped else result


@dataclass(frozen=True, eq=False)
class Case:
    """An image that attacks are tried on.

    subject   before the model without a defence
    judge     before the model behind it; where there is none the same
    plain     [K], what the former says of the untouched image
    logits    [K], what the latter says
    y         the label
    epsilons  ascending
    """

    subject: Subject
    judge: Subject
    plain: Tensor
    logits: Tensor
    y: int
    norm: NormName
    epsilons: Sequence[float]

    @property
    def goal(self) -> Goal:
        return Goal(self.y)

    @property
    def attackers(self) -> Sequence[str]:
        """Without a defence there is none to know of."""
        return DEFENDED if self.judge.chain else ("adaptive",)

    def among(self, logits: Tensor) -> bool:
        """Whether the label is among the first TOP answers; of a model that tells labels alone, whether it is first."""
        if self.subject.card.tells == "labels":
            return int(logits.argmax()) == self.y
        return self.y in logits.argsort(descending=True, stable=True)[:TOP].tolist()

    def stands(self, line: str, proofs: Sequence[Mapping[str, Any]], epsilon: float) -> bool:
        """Whether the model is right, and nothing is known that breaks the image this near."""
        right = int((self.plain if line in CONTROLS else self.logits).argmax()) == self.y
        return right and not any(proof["line"] == line and proof["distance"] <= epsilon + SLACK for proof in proofs)

    def entry(self, proofs: Sequence[Mapping[str, Any]], left: Sequence[Step] = (), **beside: Any) -> dict[str, Any]:
        """What there is to say of the image, given what broke it, and what is left to try; and `beside`, what is not
        None.
        """
        found = {
            "prediction": self.subject.prediction(self.logits),
            "label": self.subject.prediction(self.logits, self.y),
            **self._outcome(self.logits, DEFENDED, proofs, left),
        }
        if self.judge.chain:
            found["lines"] = [
                {"name": line, **self._outcome(self.plain if line in CONTROLS else self.logits, (line,), proofs, left)}
                for line in LINES
            ]
        return {**found, **{name: value for name, value in beside.items() if value is not None}}

    def _outcome(
        self, logits: Tensor, lines: Sequence[str], proofs: Sequence[Mapping[str, Any]], left: Sequence[Step]
    ) -> dict[str, Any]:
        """What a model whose answer to the untouched image is `logits` withstood: what broke it is of `lines`."""
        right, among = int(logits.argmax()) == self.y, self.among(logits)
        known = [proof for proof in proofs if proof["line"] in lines]
        coming = [step.epsilon for step in left if not set(lines).isdisjoint(FINDS[step.attacker])]
        rows = []
        for epsilon in self.epsilons:
            met = [proof for proof in known if proof["distance"] <= epsilon + SLACK]
            nearest = min(met, key=lambda proof: proof["distance"], default=None)
            robust = right and not met
            rows.append(
                {
                    "epsilon": epsilon,
                    "robust": robust,
                    "tried": not robust or all(one > epsilon for one in coming),
                    "robust_top5": among and all(proof["among"] for proof in met),
                    "broken_by": nearest and nearest["broken_by"],
                    "distance": nearest and nearest["distance"],
                }
            )
        return {"correct": right, "correct_top5": among, "epsilons": rows}


class Step(NamedTuple):
    """An attack at an epsilon by one of two attackers. Of what looks for the nearest picture it is the smallest."""

    epsilon: float
    attack: Chosen[Tensor | Example]
    attacker: str


def _attacked(
    case: Case,
    attacks: Sequence[Chosen[Tensor | Example]],
    models: Sequence[str],
    climbing: Chosen[Tensor | Example],
    checks: bool,
    state: State,
) -> Algorithm[dict[str, Any]]:
    """Its steps are the attacks at each epsilon, then the transfer matrix, then the trials. It can go on from within
    any of them.
    """
    # No other 8-bit picture is in a ball that is smaller than one grey level.
    empty = [epsilon for epsilon in case.epsilons if case.norm == "linf" and epsilon < 1 / 255 - SLACK]
    plan = [
        Step(epsilon, attack, attacker)
        for epsilon in case.epsilons
        for attack in attacks
        for attacker in case.attackers
        if (epsilon == case.epsilons[0] if looks_for_nearest(attack) else epsilon not in empty)
    ]
    of = len(plan) + bool(models) + checks
    done: int = state.get("done", 0)
    proofs: list[dict[str, Any]] = list(state.get("proofs", ()))
    cells: list[Mapping[str, Any]] | None = state.get("cells")

    def told(algorithm: Algorithm[Any], step: int) -> Algorithm[Any]:
        """`algorithm`, its progress told as that of the whole: what is known by now is what there is to show."""
        best = case.entry(proofs, plan[step:], transfer=cells)

        def out(asked: Any) -> Any:
            return replace(asked, step=step, of=of, best=best) if isinstance(asked, Progress) else asked

        # Told to stop, the front door would insist on its verdict, and the next attack would begin.
        return relayed(algorithm, out, closed_by=(GeneratorExit, Stopped))

    def known(done: int) -> dict[str, Any]:
        found = {"logits": case.logits, "plain": case.plain, "done": done, "proofs": proofs}
        return found if cells is None else {**found, "cells": cells}

    begun = case.entry(proofs, plan[done:], transfer=cells)
    # While nothing has been tried there is nothing to show: an accuracy that nobody attacked would look like a result.
    yield Progress(done, of, best=begun if done or any(row["tried"] for row in begun["epsilons"]) else None)
    for step, (epsilon, attack, attacker) in enumerate(plan[done:], done):
        if not any(case.stands(line, proofs, epsilon) for line in FINDS[attacker]):
            continue
        begin = partial(_BY[attacker], case, attack, epsilon)
        found = yield from told(resumable(begin, state if step == done else {}, "attack", **known(step)), step)
        proofs += [proof for proof in found if case.stands(proof["line"], proofs, epsilon)]
        yield Progress(step + 1, of, best=case.entry(proofs, plan[step + 1 :]), state=known(step + 1))
    if models and cells is None:

        def show(state: State | None) -> Algorithm[list[Mapping[str, Any]]]:
            largest = case.epsilons[-1]
            return tried_on_all(case.judge, models, climbing, case.y, state, norm=case.norm, epsilon=largest)

        cells = yield from told(resumable(show, state, "matrix", **known(len(plan))), len(plan))
        yield Progress(len(plan) + 1, of, best=case.entry(proofs, transfer=cells), state=known(len(plan)))
    judge = case.judge

    def try_(state: State | None) -> Algorithm[dict[str, Any]]:
        return judge.through(
            trials(
                judge.x, case.goal, case.logits, state, norm=case.norm, epsilons=case.epsilons,
                seed=judge.noise.seed, differentiable=judge.card.differentiable,
            )
        )  # fmt: skip

    examined = None
    if checks:
        examined = yield from told(resumable(try_, state, "trials", **known(len(plan))), of - 1)
    whole = case.entry(proofs, transfer=cells, checks=examined)
    yield Progress(of, of, best=whole)
    return whole


def _adaptive(
    case: Case, attack: Chosen[Tensor | Example], epsilon: float, state: State | None
) -> Algorithm[list[dict[str, Any]]]:
    """What breaks the image of one attack at one epsilon that knows of the defence, if there is one."""
    judge, y = case.judge, case.y
    found = yield from attempted(judge, attack, y, case.logits, case.norm, epsilon, state, early_stop=True)
    if found is None or not found.picture.reached:
        return []
    verdict: Verdict = found.picture
    if judge.chain.random:
        # What chose the picture must not judge it: of a random defence, not the same draws.
        verdict = yield from front_door(judge, attack, y, case.norm, epsilon).judged(found.picture.pixels)
    return _proofs(case, found.by, {"adaptive": verdict})


def _oblivious(
    case: Case, attack: Chosen[Tensor | Example], epsilon: float, state: State | None
) -> Algorithm[list[dict[str, Any]]]:
    """What breaks the image of one attack at one epsilon on the model without the defence: that model, and the other.

    It goes on to its end: who does not know of a defence is past it by being far past the border, if at all.
    """
    subject, y = case.subject, case.y
    found = yield from attempted(subject, attack, y, case.plain, case.norm, epsilon, state, early_stop=False)
    if found is None:
        return []
    assert found.x is not None, "it was not stopped"
    rounded = yield from front_door(subject, attack, y, case.norm, epsilon).accept(found.x)
    behind = yield from front_door(case.judge, attack, y, case.norm, epsilon).judged(found.picture.pixels)
    return _proofs(case, found.by, {"undefended": found.picture, "rounded": rounded, "oblivious": behind})


_BY = {"oblivious": _oblivious, "adaptive": _adaptive}


def _proofs(case: Case, by: str, verdicts: Mapping[str, Verdict | None]) -> list[dict[str, Any]]:
    """Those of `verdicts`, by line, that say that the image is broken."""
    return [
        {
            "line": line,
            "distance": float(verdict.distance[case.norm]),
            "among": case.among(verdict.logits),
            "broken_by": by,
        }
        for line, verdict in verdicts.items()
        if verdict is not None and verdict.reached
    ]


# ── the parameters ──────────────────────────────────────────────────────────────────────────────────────────────────


def chosen(one: AttackChoice) -> Chosen[Tensor | Example]:
    """The method of `attack` that an entry of `methods` names, with its parameters, every one that is its own."""
    method = _attack_method(one.method)
    return Chosen(method, one.parameters)


def climber(methods: Sequence[AttackChoice]) -> Chosen[Tensor | Example]:
    """By what the examples of a transfer matrix are made: the first of `methods` that climbs, else PGD."""
    from rakinglight import catalogue

    if found := next((attack for attack in map(chosen, methods) if climbs(attack)), None):
        return found
    pgd = _attack_method("pgd")
    return pgd.choose(catalogue.operation("attack").read(pgd, {}).model_dump())


def complete(parameters: dict[str, Any], card: Card) -> dict[str, Any]:
    """`parameters`, in which every entry of `methods` has all of its method's own parameters.

    Raises BadParameter where there are no labels, and where an entry is no attack, or sets what is not its own.
    """
    from rakinglight import catalogue  # which knows this module
    from rakinglight.plan import check_asks

    attack = catalogue.operation("attack")
    if parameters["labels"] is None:
        detail = "labels is missing: give the true class of each image, or a dataset that knows them."
        raise BadParameter.at("/parameters/labels", detail)
    if parameters["norm"] == "linf" and max(parameters["epsilons"]) > 1:
        raise BadParameter.at(
            "/parameters/epsilons",
            f"epsilons go up to {max(parameters['epsilons']):g}: pixels are in [0, 1], so a linf ball of 1 holds every "
            "image; eight grey levels are '8/255'.",
        )
    whole = []
    for i, entry in enumerate(parameters["methods"]):
        at = f"/parameters/methods/{i}"
        try:
            method = attack.method(entry["method"])
            assert method is not None
            own = method.own
            check_asks(method, card, attack)
            if not method.fools:
                raise BadParameter.at("/method", f"{method.name} does not want the model to be wrong; name an attack.")
            if "perturbation" in own:
                detail = f"{method.name} applies what was made of other images; ask `attack` by it."
                raise BadParameter.at("/method", detail)
            for name in entry["parameters"]:
                if name in GIVEN:
                    raise BadParameter.at(
                        f"/parameters/{name}", f"{name} is the same for all methods: norm, epsilons stand beside them."
                    )
                if name not in own:
                    detail = f"{shown(name)} is no parameter of {method.name} here: {near(name, set(own) - {*GIVEN})}"
                    raise BadParameter.at(f"/parameters/{name}", detail)
            norm = {"norm": parameters["norm"]} if "norm" in own else {}
            read = attack.read(method, {**entry["parameters"], **norm}).model_dump(mode="json")
            method.check(read, card.input_shape)
        except BadParameter as e:
            errors = [
                FieldError(error.pointer if error.pointer == "/parameters/norm" else at + error.pointer, error.detail)
                for error in e.errors
            ]
            raise BadParameter(f"Entry {i} of methods: {e.detail}", errors=errors) from None
        own_values = {name: value for name, value in read.items() if name in own and name not in GIVEN}
        whole.append({"method": method.name, "parameters": own_values})
    return {**parameters, "methods": whole, "epsilons": sorted(set(parameters["epsilons"]))}


# ── over all images ─────────────────────────────────────────────────────────────────────────────────────────────────


def summarize(entries: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `entries`, those of the images that were answered, come to together.

    An image whose attacks did not come to their end counts as robust where none of those that did broke it: so it
    stays an upper bound. `untried` says at each epsilon how many these are, and `partial_images` of how many anything
    is missing.
    """
    epsilons = parameters["epsilons"]
    summary: dict[str, Any] = {
        "images": len(entries),
        "partial_images": sum(bool(entry.get("partial")) for entry in entries),
        "norm": parameters["norm"],
        **_accuracies(entries, epsilons),
    }
    summary["note"] = " ".join(filter(None, (_untried(summary), UPPER_BOUND)))
    if parameters.get("defense"):
        summary["lines"] = [
            {"name": name, **_accuracies([entry["lines"][i] for entry in entries], epsilons)}
            for i, name in enumerate(LINES)
        ]
    if parameters.get("models"):
        made_by = climber([AttackChoice.model_validate(one) for one in parameters["methods"]]).method.name
        cells = matrix([entry["transfer"] for entry in entries if "transfer" in entry])
        summary["transfer"] = {"method": made_by, "epsilon": epsilons[-1], "cells": cells}
    if parameters["checks"]:
        made = audit.checks(entries, epsilons)
        summary["checks"] = made
        summary["failed_checks"] = [check["name"] for check in made if check["passed"] is False]
    return summary


def _accuracies(entries: Sequence[Mapping[str, Any]], epsilons: Sequence[float]) -> dict[str, Any]:
    """The accuracy of `entries` clean, and under attack by epsilon."""
    at = [[entry["epsilons"][i] for entry in entries] for i in range(len(epsilons))]
    return {
        "clean": {
            "top1": share(entry["correct"] for entry in entries),
            "top5": share(entry["correct_top5"] for entry in entries),
        },
        "accuracy": [
            {
                "epsilon": epsilon,
                "top1": share(row["robust"] for row in rows),
                "top5": share(row["robust_top5"] for row in rows),
                "untried": sum(not row["tried"] for row in rows),
                "broken_by": dict(Counter(row["broken_by"] for row in rows if row["broken_by"])),
            }
            for epsilon, rows in zip(epsilons, at, strict=True)
        ],
    }


def _untried(summary: Mapping[str, Any]) -> str:
    """Where attacks were cut short, what that means for the accuracy; and what to do. "" where none was."""
    cut = {as_fraction(at["epsilon"]): at["untried"] for at in summary["accuracy"] if at["untried"]}
    if not cut:
        return ""
    return (
        f"Time or rows ran out: at epsilon {', '.join(cut)} not every attack was tried on {max(cut.values())} of "
        f"{summary['images']} images. There they count as right, so accuracy is not measured; ask for a job (--job), "
        "or give more deadline_s or max_rows."
    )


def _attack_method(name: str) -> Method[Any]:
    from rakinglight import catalogue

    method = catalogue.operation("attack").method(name)
    assert method is not None, "attack has methods"
    return method
