"""The catalogue: every operation and its methods, and what a caller may set. Needs no torch.

Adding a method is a line here. Its name is its function's; its parameters, with their limits, defaults and meaning, are
the keyword-only arguments of that function and of its operation, so they are written down once.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from rakinglight import operations, trust
from rakinglight.algorithms.activation_maximization import activation_maximization, check_climbed
from rakinglight.algorithms.apgd import apgd
from rakinglight.algorithms.auto import auto
from rakinglight.algorithms.boundary import boundary, check_walk
from rakinglight.algorithms.caricature import caricature
from rakinglight.algorithms.deconvnet import deconvnet
from rakinglight.algorithms.deep_dream import deep_dream
from rakinglight.algorithms.deepfool import deepfool
from rakinglight.algorithms.edit import edit
from rakinglight.algorithms.fgsm import fgsm
from rakinglight.algorithms.fooling import fooling
from rakinglight.algorithms.grad_cam import grad_cam
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.gradient_step import gradient_step
from rakinglight.algorithms.gradient_x_input import gradient_x_input
from rakinglight.algorithms.guided_backprop import guided_backprop
from rakinglight.algorithms.hop_skip_jump import hop_skip_jump
from rakinglight.algorithms.integrated_gradients import integrated_gradients
from rakinglight.algorithms.invert import check_together, invert
from rakinglight.algorithms.lbfgs import check_norm, lbfgs
from rakinglight.algorithms.least_likely import least_likely
from rakinglight.algorithms.linear import linear
from rakinglight.algorithms.most_likely import most_likely
from rakinglight.algorithms.nes import nes
from rakinglight.algorithms.papernot import papernot
from rakinglight.algorithms.pgd import pgd
from rakinglight.algorithms.rise import check_cells, rise
from rakinglight.algorithms.second_order import second_order
from rakinglight.algorithms.sliding import sliding, window_and_stride
from rakinglight.algorithms.smoothgrad import smoothgrad
from rakinglight.algorithms.square import square
from rakinglight.algorithms.style import style
from rakinglight.algorithms.transfer import transfer
from rakinglight.algorithms.universal import fits, universal
from rakinglight.algorithms.universal_deepfool import deepfool as universal_deepfool
from rakinglight.algorithms.universal_gradient import gradient as universal_gradient
from rakinglight.algorithms.vargrad import vargrad
from rakinglight.card import Card
from rakinglight.defenses import Chain
from rakinglight.errors import FIELDS, BadParameter, FieldError, NotFound, near, shown
from rakinglight.method import Method
from rakinglight.operations.robustness import complete, summarize
from rakinglight.operations.substitute import check_answers
from rakinglight.operations.units import check_unit
from rakinglight.parameters import A_CLASS, HasExtent, IsLayer, PerImage, Rank
from rakinglight.picture_parameters import pictures_of
from rakinglight.queries import Algorithm
from rakinglight.units import sheets
from rakinglight.units.activations import activations
from rakinglight.units.deconv import deconv
from rakinglight.units.dissection import check_masks, dissection
from rakinglight.units.embedding import embedding
from rakinglight.units.filters import filters
from rakinglight.units.neighbors import neighbors
from rakinglight.units.top_patches import top_patches


@dataclass(frozen=True)
class Operation:
    """What can be asked of a model, and the methods by which it is done.

    include    the arrays and pictures of a result, which may be left out
    picture    the one of `include` that `Accept: image/png` answers with, if there is one
    reserve    rows kept, of each image, for what a run does after it was told to stop
    together   whether a run is about all images of a request, and not about one. It returns {"results": one an image,
               "summary": what there is to say of all}
    own_size   whether a run changes the image at its own size, and does not only look at it as the model sees it
    complete   parameters as they were read, and the model's card -> the same, with what only the operation knows filled
               in. Raises BadParameter
    summarize  the entries of the images that were answered, and the parameters -> what there is to say of all images
    draw       of one that is together: its result, the images, the card, what is wanted of `include` -> PNGs by name,
               of the summary and of each image
    """

    run: Callable[..., Algorithm[dict[str, Any]]]
    methods: Sequence[Method[Any]] = ()
    include: tuple[str, ...] = ()
    picture: str | None = None
    reserve: int = 0
    scope: str = "explain"
    together: bool = False
    own_size: bool = False
    complete: Callable[[dict[str, Any], Card], dict[str, Any]] | None = None
    summarize: Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], dict[str, Any]] | None = None
    draw: Callable[..., tuple[dict[str, bytes], list[dict[str, bytes]]]] | None = None
    _models: dict[str, type[BaseModel]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    @cached_property
    def own_parameters(self) -> frozenset[str]:
        """The parameters that are this operation's own, whatever the method."""
        return frozenset(_fields(self.run))

    @cached_property
    def takers(self) -> dict[str, list[str]]:
        """Every parameter -> the methods that have it; none, where the operation has no methods."""
        found: dict[str, list[str]] = {name: [] for name in self.own_parameters}
        for method in self.methods:
            for name in self.fields(method):
                found.setdefault(name, []).append(method.name)
        return found

    @cached_property
    def pictures(self) -> dict[str, bool]:
        """The parameters that are pictures -> whether it is a list of them."""
        found: dict[str, bool] = {}
        for method in self.methods or (None,):
            found |= pictures_of(self.parameters(method))
        return found

    @cached_property
    def scopes(self) -> frozenset[str]:
        """Of which a caller's key needs one; of which, `scope_of` a method says."""
        return frozenset(method.scope or self.scope for method in self.methods) or frozenset({self.scope})

    def scope_of(self, method: str | Sequence[str] | None) -> str:
        """The scope that a caller's key needs; of a method that there is not, the operation's."""
        chosen = self._named(method)
        return (chosen and chosen.scope) or self.scope

    def is_long(self, method: str | Sequence[str] | None) -> bool:
        """Whether it is always a job."""
        chosen = self._named(method)
        return chosen is not None and chosen.long

    def _named(self, method: str | Sequence[str] | None) -> Method[Any] | None:
        if method is None:
            return self.methods[0] if self.methods else None
        return self.by_name.get(method) if isinstance(method, str) else None

    @cached_property
    def by_name(self) -> dict[str, Method[Any]]:
        return {method.name: method for method in self.methods}

    def method(self, name: str | None) -> Method[Any] | None:
        """The method called `name`; the first where none is named. Raises BadParameter with the near names."""
        if not self.methods:
            if name is not None:
                raise BadParameter.at(
                    "/method", f"{self.name} has no methods, so {shown(name)} is not one; leave it out."
                )
            return None
        if name is None:
            return self.methods[0]
        if name not in self.by_name:
            raise BadParameter.at("/method", f"{shown(name)} is no method of {self.name}: {near(name, self.by_name)}")
        return self.by_name[name]

    def fields(self, method: Method[Any] | None) -> dict[str, tuple[Any, Any]]:
        """The type, as annotated, and the default of each parameter of this operation by this method."""
        fields = _fields(self.run)
        if method:
            fields |= {name: (fields[name][0], default) for name, default in method.defaults.items()}
            fields |= _fields(method.algorithm)
        return fields

    def parameters(self, method: Method[Any] | None) -> type[BaseModel]:
        """The parameters of this operation by this method, as a pydantic model."""
        key = method.name if method else ""
        if key not in self._models:
            name = "".join(word.title() for word in f"{self.name}_{key}_parameters".split("_"))
            config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
            fields: dict[str, Any] = dict(self.fields(method))
            self._models[key] = create_model(name, __config__=config, **fields)
        return self._models[key]

    def read(self, method: Method[Any] | None, parameters: Mapping[str, Any]) -> BaseModel:
        """`parameters` with the defaults filled in. Raises BadParameter with a pointer to every field at fault."""
        model = self.parameters(method)
        known = {name: value for name, value in parameters.items() if name in model.model_fields}
        errors: dict[str, str] = {}
        try:
            # Only what is known: pydantic would tell of every other name, and a caller can send millions.
            read = model(**known)
        except ValidationError as e:
            errors = _taught(e, model, known)
        if len(known) < len(parameters):
            errors |= _unknown(self, method, [name for name in parameters if name not in known])
        if errors:
            raise BadParameter(" ".join(errors.values()), errors=[FieldError(p, d) for p, d in errors.items()])
        return read

    def check(
        self, method: Method[Any] | None, parameters: Mapping[str, Any], card: Card, images: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Check what a caller set. Returns all parameters with the defaults filled in, and those of each image.

        Raises BadParameter with a pointer to every field at fault.
        """
        for name, value in parameters.items():
            # Before anything looks into the list, which may be as long as a body holds.
            if isinstance(value, list) and len(value) != images and _per_image(self.parameters(method), name):
                raise BadParameter.at(
                    f"/parameters/{name}",
                    f"{name} lists {len(value)} values for {images} images; give one value, or one an image.",
                )
        model = self.read(method, parameters)
        filled = model.model_dump(mode="json")
        for name in ("target", "label", "labels"):
            for reference in _listed(getattr(model, name, None)):
                _check_class(reference, card, f"/parameters/{name}")
        if getattr(model, "norm", None) == "linf" and getattr(model, "epsilon", 0) > 1:
            raise BadParameter.at(
                "/parameters/epsilon",
                f"epsilon is {filled['epsilon']:g}: pixels are in [0, 1], so a linf ball of 1 holds every image; "
                "eight grey levels are '8/255'.",
            )
        if "score" in filled:
            card.check_score(filled["score"])
        if filled.get("detector"):
            card.check_detector()
            if Chain(getattr(model, "defense", ())).random:
                raise BadParameter.at(
                    "/parameters/detector",
                    "The defence is random, and a detector would say something else of each draw; leave one of the two "
                    "out.",
                )
        for layer in getattr(model, "layers", ()):
            card.check_layer(layer)
        for name in filled:
            if _marked(type(model), name, HasExtent):
                card.check_spatial_layer(filled[name], f"/parameters/{name}")
            elif _marked(type(model), name, IsLayer):
                for i, layer in enumerate(_listed(filled[name])):
                    place = f"/{i}" if isinstance(filled[name], list) else ""
                    card.check_code_layer(layer, f"/parameters/{name}{place}")
        if filled.get("prior") == "decoder":
            card.check_decoder(filled["layer"])
        if method:
            method.check(filled, card.input_shape)
        if method and hasattr(model, "evaluate") and hasattr(model, "boxes"):
            trust.check(model.evaluate, model.boxes, card, method.name, signed=method.signed)
        if self.complete:
            filled = self.complete(filled, card)
        each: list[dict[str, Any]] = [dict(filled) for _ in range(images)]
        for name, value in filled.items():
            if isinstance(value, list) and _per_image(type(model), name) and not self.together:
                for own, v in zip(each, value, strict=True):
                    own[name] = v
        return filled, each


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(operations.classify, include=("activations",), scope="query"),
        Operation(
            operations.saliency,
            methods=(
                Method(gradient),
                Method(gradient_x_input),
                Method(smoothgrad),
                Method(vargrad, signed=False),
                Method(integrated_gradients),
                Method(guided_backprop),
                Method(deconvnet),
                Method(grad_cam, signed=False),
                # Of a ReLU network's logit there is hardly a curvature; the softmax has one everywhere.
                Method(second_order, defaults={"score": "log_probability"}),
            ),
            include=("map", "signed_map", "overlay", "cells", "curves"),
            picture="overlay",
        ),
        Operation(
            operations.occlusion,
            methods=(
                Method(sliding, fits=window_and_stride, signed=False, asks="scores"),
                Method(rise, fits=check_cells, signed=False, asks="scores"),
            ),
            include=("map", "signed_map", "grid", "overlay", "curves"),
            picture="overlay",
        ),
        Operation(
            operations.attack,
            methods=(
                Method(fgsm),
                Method(linear),
                Method(gradient_step),
                Method(least_likely, defaults={"target": Rank(rank=-1)}),
                Method(most_likely, defaults={"target": Rank(rank=1)}, fools=False),
                Method(deepfool),
                Method(lbfgs, fits=check_norm),
                Method(universal, fits=fits, asks="scores"),
                Method(pgd),
                Method(apgd),
                Method(square, asks="scores"),
                Method(nes, asks="scores"),
                Method(hop_skip_jump, asks="labels"),
                Method(boundary, fits=check_walk, asks="labels"),
                Method(auto),
                Method(transfer, asks="scores"),
            ),
            include=("adversarial", "exact", "perturbation"),
            picture="adversarial",
            own_size=True,
            reserve=2,
            scope="attack",
        ),
        Operation(
            operations.inversion,
            methods=(
                Method(invert, fits=check_together),
                Method(caricature),
                Method(edit),
                Method(deep_dream),
                Method(style),
                Method(activation_maximization, fits=check_climbed, needs_image=False),
                Method(fooling, asks="scores", needs_image=False, scope="attack"),
            ),
            include=("picture", "image", "animation"),
            picture="picture",
            reserve=40,  # up to 16 pictures are looked at, and their codes
        ),
        Operation(
            operations.robustness,
            include=("chart",),
            picture="chart",
            scope="attack",
            own_size=True,
            complete=complete,
            summarize=summarize,
        ),
        Operation(
            operations.universal,
            methods=(Method(universal_deepfool, long=True), Method(universal_gradient, long=True)),
            include=("perturbation", "picture", "chart"),
            picture="picture",
            reserve=3,
            scope="attack",
            together=True,
        ),
        Operation(
            operations.substitute,
            methods=(Method(papernot, asks="labels", long=True),),
            include=("archive",),
            scope="attack",
            together=True,
            complete=check_answers,
        ),
        Operation(
            operations.units,
            methods=(
                Method(filters, needs_image=False),
                Method(activations),
                Method(top_patches),
                Method(neighbors),
                Method(embedding, long=True),
                Method(dissection, long=True, fits=check_masks),
                Method(deconv),
            ),
            include=("picture", "weights", "maps", "projection", "gradient", "iou", "examples"),
            picture="picture",
            together=True,
            complete=check_unit,
            draw=sheets.drawn,
        ),
    )
}


def operation(name: str) -> Operation:
    """The operation called `name`. Raises NotFound with the near names."""
    if name not in OPERATIONS:
        raise NotFound(f"There is no operation {name!r}: {near(name, OPERATIONS)}")
    return OPERATIONS[name]


def types_in(hint: Any) -> list[Any]:
    """The types that a value may be of, None aside."""
    if get_origin(hint) is Annotated:
        return types_in(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in types_in(part)]
    return [] if hint is NoneType else [hint]


def _fields(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The keyword-only arguments of `function` as pydantic fields."""
    signature = inspect.signature(function)
    names = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    # Only these are looked up: the others may name torch, which the gateway does not load.
    scope = {name: function.__annotations__[name] for name in names}
    hints = get_type_hints(
        type("_", (), {"__annotations__": scope, "__module__": function.__module__}), include_extras=True
    )
    fields: dict[str, tuple[Any, Any]] = {}
    for name in names:
        hint = hints[name]
        if PerImage in getattr(hint, "__metadata__", ()):
            hint = hint | list[get_args(hint)[0]]  # type: ignore[misc]
        default = signature.parameters[name].default
        fields[name] = (hint, ... if default is inspect.Parameter.empty else default)  # as pydantic says: required
    return fields


def _per_image(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and any(PerImage in getattr(arg, "__metadata__", ()) for arg in get_args(field.annotation))


def _marked(model: type[BaseModel], name: str, mark: type) -> bool:
    """Whether the annotation of the parameter carries `mark`."""
    return name in model.model_fields and mark in model.model_fields[name].metadata


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _check_class(reference: Any, card: Card, pointer: str) -> None:
    if isinstance(reference, Rank):
        n = len(card.labels)
        if reference.rank == 0 or abs(reference.rank) > n:
            raise BadParameter.at(
                pointer, f"rank {reference.rank} is none: the first of {n} classes is 1, the last is -1."
            )
        if card.tells == "labels" and reference.rank != 1:
            detail = f"{card.name} tells labels alone, so nobody knows its rank {reference.rank}; name the class."
            raise BadParameter.at(pointer, detail)
    elif reference is not None:
        card.class_index(reference, pointer)


def _taught(e: ValidationError, model: type[BaseModel], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Pydantic's findings, by pointer, each as a sentence: what was sent, what is taken."""
    errors: dict[str, str] = {}
    for found in e.errors(include_url=False):
        name = str(found["loc"][0])
        pointer = f"/parameters/{name}"
        if pointer in errors:
            continue
        if found["type"] == "missing" and len(found["loc"]) == 1:
            meaning = model.model_fields[name].description or f"A class is {A_CLASS}."
            errors[pointer] = f"{name} is missing. {meaning}"
        elif _per_image(model, name):  # of the many forms of a class, pydantic says for each why it is not that one
            errors[pointer] = f"{name} is {shown(parameters[name])}: a class is {A_CLASS}; a list has one an image."
        else:
            # As the caller wrote it: '-1' where a fraction was read, but of a list or an object the part at fault.
            value = parameters[name] if len(found["loc"]) == 1 else found["input"]
            message = found["msg"].removeprefix("Value error, ")
            errors[pointer] = f"{name} is {shown(value)}: {message[0].lower()}{message[1:]}."
            if found["type"] == "tuple_type":
                errors[pointer] = f"{name} is {shown(value)}: it is a list, such as {_example(value)}."
            if found["type"] == "too_short":
                errors[pointer] = f"{name} is an empty list; it needs one at least, or leave it out."
            if found["type"] in ("tuple_type", "missing"):  # of a list's form: what is listed, its meaning says
                errors[pointer] += f" {model.model_fields[name].description}"
    return errors


def _example(value: Any) -> str:
    """A list of the one `value`, as JSON has it, where it is text or a number."""
    return json.dumps([value], ensure_ascii=False) if isinstance(value, str | int | float) else "[…]"


def _unknown(operation: Operation, method: Method[Any] | None, names: Sequence[str]) -> dict[str, str]:
    """What is wrong with names that are no parameters, by pointer: each its own, or one for a great many."""
    there = operation.parameters(method).model_fields
    of = f"of {operation.name} by {method.name}" if method else f"of {operation.name}"
    if len(names) > FIELDS:
        detail = f"{len(names)} names are no parameters {of}, {shown(names[0])} the first: {near('', there)}"
        return {"/parameters": detail}
    return {
        f"/parameters/{name}": f"{shown(name)} is no parameter {of}: {_instead(operation, name, there)}"
        for name in names
    }


def _instead(operation: Operation, name: str, there: Iterable[str]) -> str:
    """The end of a message: why there is no parameter `name`, or what there is."""
    if not (takers := operation.takers.get(name)):
        return near(name, there)
    if name == "epsilon":
        return "it has no ball, and looks for the smallest change. Leave epsilon out, or take another method."
    return f"it belongs to {', '.join(takers)}."
