"""What a request comes to: questions for an engine on the way in, the members of a reply on the way back.

    request ──> Plan.of ──> parts ──> questions, one for each image and part ──> results ──> Reply

Most requests have one part: a method and its parameters. A request that compares has several, and lays what each of
them finds in an image side by side. The service and the client without one both go this way. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from rakinglight import picture_parameters, pictures, reply
from rakinglight.card import Card, check_others
from rakinglight.catalogue import Operation
from rakinglight.errors import FIELDS, BadParameter, FieldError, RakinglightError, near, shown
from rakinglight.geometry import Geometry
from rakinglight.method import Method
from rakinglight.operations.units import check_images
from rakinglight.operations.universal import check_counts
from rakinglight.question import Question
from rakinglight.substitutes.allowance import check_allowance
from rakinglight.wire import array_to_json

Array = np.ndarray[Any, Any]
E = TypeVar("E", bound=RakinglightError)

#: Seconds between two pictures of progress, of all runs of a request together: drawing one takes tens of milliseconds,
#: which the engine would have had.
PICTURE_S = 1.0
#: What of `include` is drawn while it is made: a map over its image, or the picture itself.
DRAWN = frozenset({"overlay", "picture"})
#: What an entry of `compare` may say.
MEMBERS = ("method", "parameters", "target")


def comparable(operation: Operation) -> bool:
    """Whether one request may ask for several of `operation`'s maps: whether they are pictures to lay side by side."""
    return operation.picture == "overlay"


def kinds_of(operation: Operation, method: str | Sequence[str] | None) -> list[type[BaseModel]]:
    """The parameters of `operation` by `method`, or by each where it is a list. Raises BadParameter, naming which."""
    if method is None or isinstance(method, str):
        return [operation.parameters(operation.method(method))]
    kinds = []
    for i, name in enumerate(method):
        try:
            kinds.append(operation.parameters(operation.method(name)))
        except BadParameter as e:
            raise _placed(e, {"/method": f"/method/{i}"}, "") from None
    return kinds


@dataclass(frozen=True, eq=False)
class Part:
    """One way in which every image of a request is asked about.

    parameters  all of them, with the defaults filled in
    each        those of each image: a parameter may list one value an image
    places      where in the request its own pointers lie: the beginning of one -> that of the other
    title       what an error begins with, so that its reader knows which part is meant
    """

    method: Method[Any] | None
    parameters: Mapping[str, Any]
    each: Sequence[Mapping[str, Any]]
    places: Mapping[str, str] = field(default_factory=dict)
    title: str = ""

    @property
    def name(self) -> str | None:
        """The method's."""
        return self.method.name if self.method else None

    @property
    def members(self) -> dict[str, Any]:
        """As an entry of `compare` in a reply."""
        return {"method": self.name, "parameters": dict(self.parameters)}

    def placed(self, error: E) -> E:
        """`error`, which names fields of this part, with pointers into the request."""
        return _placed(error, self.places, self.title)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reply:
    """The answer to a request. In `results` arrays are numpy and pictures are PNG bytes; doors encode them.

    results      one an image
    summary      what there is to say of all images together, where the operation says anything
    method       None where several are compared
    parameters   all of them, with the defaults filled in: with `method` and `seed` they repeat the call
    compare      where several are compared, each one's method and parameters instead
    cost         rows, of all runs together
    answered_by  which backend answered queries of each kind
    """

    model: Mapping[str, str]
    operation: str
    method: str | None
    parameters: Mapping[str, Any]
    compare: Sequence[Mapping[str, Any]] | None = None
    seed: int
    results: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any] | None = None
    cost: Mapping[str, float]
    answered_by: Mapping[str, str | None]
    elapsed_ms: float
    request_id: str

    def members(self) -> dict[str, Any]:
        """As a caller reads it, arrays and pictures still raw."""
        members = {member.name: getattr(self, member.name) for member in fields(self)}
        left_out = {name for name in ("compare", "summary") if members[name] is None}
        return {name: value for name, value in members.items() if name not in left_out}


@dataclass(frozen=True, eq=False)
class Plan:
    """A request that was found good.

    compared  whether it asked for several maps, be they only one, and its reply has that form
    include   names of arrays and pictures that a result carries; None is all
    given     whether it is about images that came; else about one, `blank`, by methods that need none
    """

    card: Card
    operation: Operation
    parts: Sequence[Part]
    compared: bool
    include: Collection[str] | None
    given: bool = True

    @staticmethod
    def of(
        card: Card,
        operation: Operation,
        images: int,
        *,
        method: str | Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        compare: Sequence[Mapping[str, Any]] | None = None,
        include: Collection[str] | None = None,
    ) -> Plan:
        """Check what a caller asked of `images` images, which may be none where no method needs one.

        method      one, or several to compare, each with those of `parameters` that it has
        compare     several to compare, each {"method", "parameters", "target"}, of which `target` stands for that of
                    `parameters`
        Raises BadParameter with a pointer to every field at fault, and what else the operation's own check raises.
        """
        reply.check_include(operation, include)
        several = compare is not None or (method is not None and not isinstance(method, str))
        if several:
            _check_comparable(operation, "/compare" if compare is not None else "/method")
        if compare is not None:
            if method is not None or parameters:
                name = "parameters" if method is None else "method"
                raise BadParameter.at(f"/{name}", f"{name} stands beside compare; put it into the entries of compare.")
            parts = [_entry(card, operation, images, i, entry) for i, entry in enumerate(compare)]
        elif isinstance(method, str) or method is None:
            parts = [_part(card, operation, images, method, parameters or {})]
        else:
            parts = _parts(card, operation, images, method, parameters or {})
        if not parts:
            name = "compare" if compare is not None else "method"
            raise BadParameter.at(f"/{name}", f"{name} is an empty list; name one method at least, or leave it out.")
        return Plan(card, operation, parts, several, include, given=images > 0)

    @property
    def model(self) -> dict[str, str]:
        """Which weights answer."""
        return {"name": self.card.name, "version": self.card.version, "sha256": self.card.sha256}

    @property
    def method(self) -> str | None:
        """By which method, as metrics, logs and lists tell of it: `several` where they are compared."""
        return "several" if self.compared else self.parts[0].name

    @property
    def others(self) -> list[str]:
        """The names of other models that have to be at hand."""
        return list(dict.fromkeys(name for part in self.parts for names in _others(part).values() for name in names))

    def check_others(self, cards: Mapping[str, Card]) -> None:
        """Raise BadParameter unless every other model that is named is among `cards`, and knows the same classes."""
        for part in self.parts:
            try:
                for pointer, names in _others(part).items():
                    check_others(names, self.card, cards, pointer)
            except BadParameter as e:
                raise part.placed(e) from None

    @property
    def perturbations(self) -> set[str]:
        """The ids of universal perturbations that are to be applied."""
        said = [own.get("perturbation") for part in self.parts for own in part.each]
        return {name for name in said if isinstance(name, str)}

    def applying(self, found: Mapping[str, Any]) -> Plan:
        """This plan, in whose questions perturbations, as tensors in JSON's form, stand for their ids.

        Raises BadParameter for one that has not as many channels as the model's images.
        """

        def resolved(part: Part, own: Mapping[str, Any]) -> Mapping[str, Any]:
            own = {**own, "perturbation": found.get(str(own["perturbation"]), own["perturbation"])}
            assert part.method is not None
            try:
                part.method.check(own, self.card.input_shape)
            except BadParameter as e:
                raise part.placed(e) from None
            return own

        parts = [
            replace(part, each=[resolved(part, own) if "perturbation" in own else own for own in part.each])
            for part in self.parts
        ]
        return replace(self, parts=parts)

    @property
    def pictures(self) -> dict[str, Any]:
        """The pictures among the parameters, as they were sent, by their pointers into the request."""
        sent: dict[str, Any] = {}
        for part in self.parts:
            for name, pointer in self._pictures_of(part).items():
                sent |= picture_parameters.each_of(part.parameters[name], pointer)
        return sent

    def showing(self, found: Mapping[str, Array]) -> Plan:
        """This plan, in whose questions stands what was `found` of each of `pictures`: uint8 [H, W, C] or float32
        [C, H, W]. What its reply repeats are the pictures as they were sent.

        Raises TooLarge where they are too many for a message to the engine, and BadParameter where the method finds
        that they do not go together with the rest.
        """
        picture_parameters.check_decoded(found)
        written = {pointer: array_to_json(array) for pointer, array in found.items()}

        def resolved(part: Part, own: Mapping[str, Any]) -> Mapping[str, Any]:
            of = self._pictures_of(part)
            own = {**own, **{name: picture_parameters.replaced(own[name], at, written) for name, at in of.items()}}
            if of and part.method:
                try:
                    part.method.check(own, self.card.input_shape)
                except BadParameter as e:
                    raise part.placed(e) from None
            return own

        parts = [replace(part, each=[resolved(part, own) for own in part.each]) for part in self.parts]
        return replace(self, parts=parts)

    def _pictures_of(self, part: Part) -> dict[str, str]:
        """The parameters of `part` that are pictures -> where in the request they stand."""
        there = [name for name in self.operation.pictures if name in part.parameters]
        return {name: _moved(f"/parameters/{name}", part.places) for name in there}

    def questions(self, pixels: Sequence[Array], *, max_rows: int | None = None, **common: Any) -> list[Question]:
        """A question for each image and part, those of one image side by side.

        pixels    one an image, as the model takes it
        max_rows  rows that an image may spend, which its parts share
        common    what else a Question holds, for all of them
        Raises BadParameter where there are fewer rows than parts. Of an operation that is about all images together
        there is one question, which has the rows of all.
        """
        if self.operation.together:
            (first, *more), rows = pixels, None if max_rows is None else max_rows * len(pixels)
            (question,) = self.questions_of(0, first, max_rows=rows, **common)
            return [replace(question, more=more)]
        return [
            question
            for image, one in enumerate(pixels)
            for question in self.questions_of(image, one, max_rows=max_rows, **common)
        ]

    def questions_of(self, image: int, pixels: Array, *, max_rows: int | None = None, **common: Any) -> list[Question]:
        """Those of one image. As `questions`."""
        count = len(self.parts)
        if max_rows is not None and max_rows < count:
            raise BadParameter.at(
                "/max_rows", f"max_rows is {max_rows}, which {count} maps of an image share; give more rows."
            )
        share = None if max_rows is None else max_rows // count
        return [
            Question(
                operation=self.operation.name,
                model=self.card.name,
                pixels=pixels,
                method=part.name,
                parameters=part.each[image],
                max_rows=share,
                given=self.given,
                **common,
            )
            for part in self.parts
        ]

    def placed(self, number: int, error: E) -> E:
        """`error`, which the engine raised of question `number`, with pointers into the request."""
        return self.parts[number % len(self.parts)].placed(error)

    def watched(self, questions: Sequence[Question]) -> list[Question]:
        """`questions`, where somebody looks at their progress: it brings the map or the picture so far, if the results
        show such.
        """
        wanted = reply.check_include(self.operation, self.include)
        drawn = not (self.operation.together or DRAWN.isdisjoint(wanted))
        map_s = PICTURE_S * len(questions) if drawn else None
        return [replace(question, map_s=map_s) for question in questions]

    def progress(self, number: int, pixels: Array | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """The members of an event that tells of progress. It may draw a picture: tens of milliseconds.

        number  of the question
        pixels  its image; needed where there is a map to draw
        body    of the worker's frame, in which `map` [H, W] is the map so far, `picture` uint8 [H, W, C] the picture
        """
        image, part = divmod(number, len(self.parts))
        members = {"image": image, **{name: value for name, value in body.items() if name != "map"}}
        if self.compared:
            members["map"] = part
        if "picture" in body:
            members["picture"] = pictures.to_png(pictures.from_pixels(body["picture"]))
        if "map" in body:
            assert pixels is not None
            height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
            geometry = Geometry.of(height, width, self.card.input_shape, self.card.resize)
            members["picture"] = pictures.to_png(pictures.overlay(geometry.picture(pixels), body["map"]))
        return members

    def results(
        self,
        questions: Sequence[Question],
        bodies: Sequence[Mapping[str, Any]],
        *,
        request_id: str,
        exact_image: bool = True,
    ) -> list[dict[str, Any]]:
        """The entries of the reply, one an image. It draws pictures.

        bodies       of the result frames that answer `questions`
        exact_image  whether the reply has room for the exact tensors
        """
        if self.operation.together:
            (question,), (body,) = questions, bodies
            found = body["result"], question.images, self.card, self.include
            return reply.finish_together(self.operation, *found, given=self.given)
        if not self.compared:
            said = request_id, exact_image
            return [self._alone(question, body, *said) for question, body in zip(questions, bodies, strict=True)]
        count = len(self.parts)
        return [
            self._compared(questions[first : first + count], bodies[first : first + count])
            for first in range(0, len(questions), count)
        ]

    def _compared(self, questions: Sequence[Question], bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        asked = [{"method": question.method, "parameters": dict(question.parameters)} for question in questions]
        results = [body["result"] for body in bodies]
        return reply.compared(self.operation, asked, results, questions[0].pixels, self.card, self.include)

    def _alone(self, question: Question, body: Mapping[str, Any], request_id: str, exact_image: bool) -> dict[str, Any]:
        (part,) = self.parts
        result = dict(body["result"])
        if "adversarial" in result:
            result["queries"] = body["cost"]["forward_rows"] + body["cost"]["gradient_rows"]
        facts = reply.facts(self.card, part.name, part.parameters, request_id)
        said = result, question.pixels, self.card, self.include, facts
        return reply.finish(self.operation, *said, exact_image=exact_image, given=self.given)

    def reply(
        self,
        results: Sequence[Mapping[str, Any]],
        bodies: Sequence[Mapping[str, Any]],
        *,
        seed: int,
        seconds: float,
        request_id: str,
    ) -> Reply:
        """The reply around `results`, which took `seconds`. Of `bodies`, the cost and who answered are told."""
        (first, *_) = self.parts
        whole = together(bodies)
        results, summary = reply.summarized(self.operation, results, first.parameters, self.include)
        return Reply(
            model=self.model,
            operation=self.operation.name,
            method=None if self.compared else first.name,
            parameters={} if self.compared else first.parameters,
            compare=[part.members for part in self.parts] if self.compared else None,
            seed=seed,
            results=results,
            summary=summary,
            cost=whole["cost"],
            answered_by=whole["answered_by"],
            elapsed_ms=round(1000 * seconds, 1),
            request_id=request_id,
        )


def _others(part: Part) -> dict[str, Sequence[str]]:
    """Where in `part` other models are named -> their names. The methods among its parameters may name some, too."""
    within = enumerate(part.parameters.get("methods", ()))
    return {
        "/parameters/models": part.parameters.get("models") or (),
        **{f"/parameters/methods/{i}/parameters/models": each["parameters"].get("models") or () for i, each in within},
    }


def together(bodies: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the runs of `bodies` cost together, and who answered them."""
    return {
        "cost": _sum([body["cost"] for body in bodies]),
        "answered_by": {kind: who for body in bodies for kind, who in body.get("answered_by", {}).items()},
    }


def _check_comparable(operation: Operation, pointer: str) -> None:
    if not comparable(operation):
        raise BadParameter.at(pointer, f"{operation.name} makes no maps to lay side by side; send a request for each.")


def check_needs_none(operation: Operation, method: Method[Any] | None) -> None:
    """Raise BadParameter where there is to be an image."""
    if method is not None and not method.needs_image:
        return
    without = [each.name for each in operation.methods if not each.needs_image]
    what = f"{operation.name} by {method.name}" if method and without else operation.name
    end = f" Without images there are {' and '.join(without)}." if without else ""
    raise BadParameter.at("/images", f"images is empty; {what} needs one at least, or a dataset.{end}")


def _part(
    card: Card,
    operation: Operation,
    images: int,
    method: str | None,
    parameters: Mapping[str, Any],
    places: Mapping[str, str] | None = None,
    title: str = "",
) -> Part:
    places = places or {}
    try:
        chosen = operation.method(method)
        if not images:
            check_needs_none(operation, chosen)
        if chosen:
            check_asks(chosen, card, operation)
        filled, each = operation.check(chosen, parameters, card, max(1, images))
        if "image_counts" in filled:
            check_counts(filled["image_counts"], images, filled["holdout"])
        if "max_queries" in filled:
            check_allowance(filled, images)
        if operation.name == "units":
            check_images(filled, images)
    except BadParameter as e:
        raise _placed(e, places, title) from None
    return Part(chosen, filled, each, places, title)


def check_asks(method: Method[Any], card: Card, operation: Operation) -> None:
    """Raise BadParameter where `method` needs the scores of a model that tells labels alone."""
    if method.asks != "scores" or card.tells != "labels":
        return
    enough = [each.name for each in operation.methods if each.asks == "labels"]
    remedy = f"{' and '.join(enough)} do with labels" if enough else f"no method of {operation.name} does with labels"
    detail = f"{method.name} asks for scores, and {card.name} tells labels alone; {remedy}."
    raise BadParameter.at("/method", detail)


def _parts(
    card: Card, operation: Operation, images: int, methods: Sequence[str], parameters: Mapping[str, Any]
) -> list[Part]:
    """A part for each of `methods`, with those of `parameters` that it has."""
    known = [kind.model_fields for kind in kinds_of(operation, methods)]
    there = {name for fields in known for name in fields}
    if unknown := [name for name in parameters if name not in there]:
        errors = [
            FieldError(
                f"/parameters/{name}", f"{shown(name)} is no parameter of any of these methods: {near(name, there)}"
            )
            for name in unknown[:FIELDS]
        ]
        raise BadParameter(" ".join(error.detail for error in errors), errors=errors)
    return [
        _part(card, operation, images, name, {k: v for k, v in parameters.items() if k in its})
        for name, its in zip(methods, known, strict=True)
    ]


def _entry(card: Card, operation: Operation, images: int, i: int, entry: Mapping[str, Any]) -> Part:
    """The part that an entry of `compare` says."""
    at, title = f"/compare/{i}", f"Entry {i} of compare: "
    for name in entry:
        if name not in MEMBERS:
            raise BadParameter.at(f"{at}/{name}", f"{title}{shown(name)} is no member: {near(str(name), MEMBERS)}")
    method, parameters = entry.get("method"), entry.get("parameters")
    if not isinstance(method, str | None):
        raise BadParameter.at(f"{at}/method", f"{title}method is {shown(method)}; it is the name of one.")
    if not isinstance(parameters, Mapping | None):
        raise BadParameter.at(f"{at}/parameters", f"{title}parameters is {shown(parameters)}; it is an object.")
    parameters = dict(parameters or {})
    places = {"/method": f"{at}/method", "/parameters": f"{at}/parameters"}
    if "target" in entry:
        if "target" in parameters:
            raise BadParameter.at(
                f"{at}/target", f"{title}target stands here and among the parameters; once is enough."
            )
        parameters["target"] = entry["target"]
        places["/parameters/target"] = f"{at}/target"
    return _part(card, operation, images, method, parameters, places, title)


def _placed(error: E, places: Mapping[str, str], title: str) -> E:
    if not (places and error.errors):
        return error
    errors = [FieldError(_moved(each.pointer, places), each.detail) for each in error.errors]
    return type(error)(title + error.detail, errors=errors, retry_after_s=error.retry_after_s)


def _moved(pointer: str, places: Mapping[str, str]) -> str:
    """`pointer`, the longest of its beginnings that `places` knows replaced."""
    for old in sorted(places, key=len, reverse=True):
        if pointer == old or pointer.startswith(f"{old}/"):
            return places[old] + pointer.removeprefix(old)
    return pointer


def _sum(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What all runs cost together, of each kind that any of them has."""
    kinds = dict.fromkeys(kind for cost in costs for kind in cost)
    return {kind: sum(cost.get(kind, 0) for cost in costs) for kind in kinds}
