"""Defences: what may be done to an image, at the model's input size, before the network sees it. Needs no torch.

One a file. Several stand in a chain, in the order in which they are applied:

    {"defense": ["jpeg"]}
    {"defense": [{"name": "bit_depth", "bits": 4}, {"name": "crop_rescale", "crops": 10}]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ValidationError

from rakinglight.defenses.bit_depth import BitDepth
from rakinglight.defenses.crop_rescale import CropRescale
from rakinglight.defenses.defense import Defense, RandomNumbers
from rakinglight.defenses.jpeg import Jpeg
from rakinglight.defenses.median_blur import MedianBlur
from rakinglight.defenses.quilting import Quilting
from rakinglight.defenses.tv_minimization import TvMinimization
from rakinglight.errors import near, shown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BY_NAME", "AnyDefense", "Chain", "Defense", "Name", "RandomNumbers", "read"]

AnyDefense = Jpeg | BitDepth | MedianBlur | TvMinimization | CropRescale | Quilting
Name = Literal["jpeg", "bit_depth", "median_blur", "tv_minimization", "crop_rescale", "quilting"]
BY_NAME: Mapping[str, type[Defense]] = {kind.model_fields["name"].default: kind for kind in get_args(AnyDefense)}

#: Defences in a chain, and images that one prediction may be the mean of, at most.
LONGEST, MOST_COPIES = 8, 100
#: How often a random chain is drawn to judge an image.
JUDGED_DRAWS = 20


@dataclass(frozen=True)
class Chain:
    """Defences, each of which gets what the one before it has made. An empty one is false, and does nothing."""

    defenses: tuple[Defense, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.defenses)

    @property
    def random(self) -> bool:
        return any(defense.random for defense in self.defenses)

    @property
    def copies(self) -> int:
        """How many images one prediction is the mean of."""
        return math.prod(defense.copies for defense in self.defenses)

    @property
    def judged_draws(self) -> int:
        """How often it is drawn to judge an image."""
        return JUDGED_DRAWS if self.random else 1

    def once(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        """The image x [C, H, W] after one way through the chain."""
        for defense in self.defenses:
            x = defense(x, draw)
        return x

    def all(self, x: Tensor, draw: RandomNumbers) -> list[Tensor]:
        """The images [C, H, W] that one prediction is the mean of."""
        images = [x]
        for defense in self.defenses:
            images = [defense(image, draw) for image in images for _ in range(defense.copies)]
        return images


def read(said: Any) -> tuple[Defense, ...]:
    """The defences of a chain as a caller writes it: a list of names and of objects with a `name`, or one of them.

    Raises ValueError, in words for the caller.
    """
    listed: Sequence[Any] = said if isinstance(said, list | tuple) else [said]
    if len(listed) > LONGEST:
        raise ValueError(f"it names {len(listed)} defences; at most {LONGEST} stand in a chain")
    chain = Chain(tuple(_one(each) for each in listed))
    if chain.copies > MOST_COPIES:
        raise ValueError(
            f"its prediction would be the mean over {chain.copies} images, since crops multiply; at most {MOST_COPIES}"
        )
    return chain.defenses


def _one(said: Any) -> Defense:
    if isinstance(said, Defense):
        return said
    members = {"name": said} if isinstance(said, str) else said
    if not isinstance(members, Mapping) or not isinstance(members.get("name"), str):
        raise ValueError('a defence is its name, such as "jpeg", or {"name": "jpeg", "quality": 50}')
    name = members["name"]
    if name not in BY_NAME:
        raise ValueError(_bare(f"{shown(name)} is no defence: {near(name, BY_NAME)}"))
    kind = BY_NAME[name]
    for member in members:
        if member not in kind.model_fields:
            raise ValueError(
                _bare(f"{shown(member)} is no parameter of {name}: {near(str(member), kind.model_fields)}")
            )
    for member, value in members.items():
        if isinstance(value, bool) or (isinstance(value, str) and member != "name"):
            raise ValueError(f"{member} of {name} is {shown(value)}, and should be a number")
    try:
        return kind(**members)
    except ValidationError as e:
        wrong = e.errors(include_url=False)[0]
        message = wrong["msg"].removeprefix("Value error, ")
        said = f"{wrong['loc'][0]} of {name} is {shown(wrong['input'])}"
        raise ValueError(f"{said}: {message[0].lower()}{message[1:]}") from None


def _bare(sentence: str) -> str:
    """`sentence` without its end: whoever tells of the error sets the full stop."""
    return sentence.rstrip(".?")
