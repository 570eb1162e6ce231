"""A target file: a model elsewhere, as somebody describes it who wants it asked. TOML.

url = "https://vision.example/v1/label"
name = "shop"
classes = ["cat", "dog"]
body = '{"pictures": ${images}}'

[headers]
Authorization = "Bearer ${SHOP_KEY}"      # from the environment: no secret stands in the file

[input]
shape = [3, 224, 224]
form = "png"                              # base64 of a PNG; or "tensor", nested lists

[answer]
label = "results[*].best"                 # JMESPath, https://jmespath.org; or scores = "results[*].scores"

What stands in the environment is filled in when the file is read, and appears in no message.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rakinglight.card import Card, Tells
from rakinglight.errors import BadParameter
from rakinglight.oracles.dialect import CLASSES, LARGEST

Array = np.ndarray[Any, Any]

#: What stands for something else in a header or a body.
PLACE = re.compile(r"\$\{(\w+)\}")
#: Of a body: the pictures, as a list; the one picture; the key of the request.
IMAGES, IMAGE, KEY = "images", "image", "key"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Input(Part):
    """What it takes.

    shape      [C, H, W] of a picture
    form       how a picture travels where the body is described: as the base64 of a PNG, or as nested lists of numbers
    layout     the order of a tensor's sides
    scale      what values in [0, 1] are multiplied by, before `mean` is taken off and they are divided by `std`
    """

    shape: tuple[Literal[1, 3], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    form: Literal["png", "tensor"] = "png"
    layout: Literal["CHW", "HWC"] | None = None
    scale: float | None = Field(default=None, gt=0)
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()

    def values(self, rows: Array) -> Array:
        """`rows` [n, C, H, W] as the numbers that are sent."""
        values = rows * np.float32(self.scale or 1.0)
        if self.mean:
            values = values - np.asarray(self.mean, np.float32).reshape(-1, 1, 1)
        if self.std:
            values = values / np.asarray(self.std, np.float32).reshape(-1, 1, 1)
        return np.asarray(values, np.float32)


class Reading(Part):
    """Where in a reply the answer is.

    label   JMESPath to the label of each picture: a class's name or index, one a picture
    scores  JMESPath to the scores of each picture: a number a class, or an object from its name to the number. With
            `label` beside it: lists that belong together, in any order
    output  of the Open Inference Protocol: the name of the output
    """

    label: str | None = None
    scores: str | None = None
    output: str | None = None


class Target(Part):
    """A target file, read.

    dialect  by default `described` where there is a body, `open-inference` where the address is one of that protocol,
             else `rakinglight`
    model    the name that a service of ours has for it
    batch    pictures of one request
    tells    what it answers; where it is not said, it is found out by asking
    classes  their names in the order of the scores, or the file with one a line
    canaries  the share of what is asked that is asked again
    """

    url: str
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    dialect: Literal["rakinglight", "open-inference", "described"] | None = None
    model: str | None = None
    classes: tuple[str, ...] | None = None
    batch: int | None = Field(default=None, ge=1, le=1024)
    tells: Tells | None = None
    headers: Mapping[str, str] = Field(default={}, repr=False)
    body: str | None = Field(default=None, repr=False)
    input: Input | None = None
    answer: Reading | None = None
    patience_s: float = Field(default=120.0, ge=0)
    timeout_s: float = Field(default=60.0, gt=0)
    canaries: float = Field(default=0.01, ge=0, le=1)
    secrets: tuple[str, ...] = Field(default=(), exclude=True, repr=False)

    @model_validator(mode="after")
    def _fits(self) -> Target:
        C = self.input.shape[0] if self.input and self.input.shape else None
        if self.input and self.input.shape and math.prod(self.input.shape) > LARGEST:
            raise ValueError(f"input.shape has more than {LARGEST} values")
        if self.classes is not None and len(self.classes) > CLASSES:
            raise ValueError(f"classes are {len(self.classes)}; {CLASSES} are taken")
        for name in ("mean", "std"):
            found = getattr(self.input, name) if self.input else ()
            if found and C and len(found) != C:
                raise ValueError(f"input.{name} has {len(found)} numbers, and a picture has {C} channels")
        if self.classes is not None and (len(self.classes) < 2 or len(set(self.classes)) != len(self.classes)):
            raise ValueError("classes are at least two, each with a name of its own")
        return self

    @property
    def card(self) -> Card | None:
        """The card of what is declared whole: name, shape, classes and what it tells. Then nobody has to be asked."""
        if self.name is None or self.classes is None or self.tells is None or not (self.input and self.input.shape):
            return None
        C = self.input.shape[0]
        return Card(
            name=self.name,
            version="",
            input_shape=self.input.shape,
            mean=(0.0,) * C,
            std=(1.0,) * C,
            labels=self.classes,
            sha256="",
            provenance="asked elsewhere, as its operator declared it",
            differentiable=False,
            tells=self.tells,
        )


def read_target(path: Path, secret: Callable[[str], str | None] = os.environ.get) -> Target:
    """The target in the file at `path`. Raises BadParameter, which says what is wrong with it.

    secret  what the environment has by a name
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadParameter(f"{path} cannot be read: {e.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise BadParameter(f"{path} is no TOML: {e}.") from None
    if "secrets" in raw:
        raise BadParameter(f"{path}: secrets stand in the environment; name them in a header, as ${{NAME}}.")
    found: list[str] = []

    def filled(text: str, kept: tuple[str, ...] = ()) -> str:
        def value(place: re.Match[str]) -> str:
            name = place[1]
            if name in kept:
                return place[0]
            if (said := secret(name)) is None:
                raise BadParameter(f"{path} wants {name} from the environment, where it is not set.")
            found.append(said)
            return said

        return PLACE.sub(value, text)

    try:
        if isinstance(raw.get("classes"), str):
            raw["classes"] = (path.parent / raw["classes"]).read_text(encoding="utf-8").split("\n")
            raw["classes"] = [line.strip() for line in raw["classes"] if line.strip()]
        target = Target(**raw)
    except OSError as e:
        raise BadParameter(f"{path} names a file of classes that cannot be read: {e.strerror}.") from None
    except ValidationError as e:
        said = "; ".join(f"{'.'.join(map(str, error['loc'])) or 'it'}: {error['msg']}" for error in e.errors())
        raise BadParameter(f"{path} describes no target: {said}.") from None
    headers = {name: filled(value) for name, value in target.headers.items()}
    for name, value in headers.items():
        if not name.isascii() or not value.isascii() or "\n" in value or "\r" in value:
            raise BadParameter(f"{path}: the header {name!r} has characters that no header has.")
    body = filled(target.body, (IMAGES, IMAGE, KEY)) if target.body is not None else None
    secrets = {value for value in [*found, *(part for value in found for part in value.split())] if len(value) > 3}
    return target.model_copy(update={"headers": headers, "body": body, "secrets": tuple(secrets)})


def environment_of(path: Path) -> list[str]:
    """The names that the file takes from the environment."""
    try:
        return sorted(set(PLACE.findall(path.read_text(encoding="utf-8"))) - {IMAGES, IMAGE, KEY})
    except (OSError, UnicodeDecodeError):
        return []
