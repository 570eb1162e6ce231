"""How many images the oracle may be asked about, and for what. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rakinglight.errors import BadParameter

#: Pictures that are made of an image for each epsilon and aim: by FGSM and by PGD.
WAYS = 2
#: Where queries are scarce, the share of them that may go to finding out what transfers.
FOR_TRANSFER = 4
#: Images that a substitute learns from at most: what it looks at of each is kept in memory.
MOST_IMAGES = 20_000


@dataclass(frozen=True)
class Allowance:
    """What a run may ask.

    images  that the substitute may learn from; None: as many as its rounds make
    judged  held-out images of which adversarial pictures are made, at most
    every   whether they are made after every round; else after the last alone, which is number `last`
    """

    images: int | None
    judged: int
    every: bool
    last: int

    def judges(self, rho: int) -> bool:
        """Whether adversarial pictures are sent after round rho."""
        return self.every or rho == self.last

    @staticmethod
    def of(
        method: Mapping[str, Any],
        seeds: int,
        held_out: int,
        max_queries: int | None,
        epsilons: int,
        *,
        targeted: bool,
        control: bool,
    ) -> Allowance:
        """The allowance of a run. `max_queries` is of all that it asks: to learn, to be judged, and for the control.

        Where it does not reach for everything, a quarter of what the seeds and the held-out images leave goes to what
        is made on the last substitute, and the rest to making it, as far as its rounds want that.

        method  its parameters
        """
        counts = sizes(seeds, None, **_sizing(method))
        if max_queries is None:
            return Allowance(None, held_out, True, len(counts) - 1)
        loops = 1 + control
        left = max_queries - seeds - held_out
        a_picture_of_each = WAYS * epsilons * (1 + targeted) * loops
        if (counts[-1] - seeds) * loops + len(counts) * held_out * a_picture_of_each <= left:
            return Allowance(None, held_out, True, len(counts) - 1)
        over = left - (counts[-1] - seeds) * loops  # once every round has all that it wants
        judged = min(held_out, max(left // FOR_TRANSFER, over) // a_picture_of_each)
        images = seeds + (left - judged * a_picture_of_each) // loops
        return Allowance(images, judged, False, len(sizes(seeds, images, **_sizing(method))) - 1)


def sizes(seeds: int, limit: int | None, *, rounds: int, doublings: int, reservoir: int) -> list[int]:
    """How many labelled images a substitute learns from in the first round, the second, ...

    limit  how many it may have at most; None: no limit
    """
    counts = [seeds]
    for rho in range(rounds):
        more = counts[-1] if rho < doublings else min(reservoir, counts[-1])
        more = more if limit is None else min(more, limit - counts[-1])
        if more <= 0:
            break
        counts.append(counts[-1] + more)
    return counts


def seed_count(images: int, seeds: int | None) -> int:
    """How many of so many images are seeds: a fifth, and one at least, where nobody says."""
    return max(1, images // 5) if seeds is None else seeds


def check_allowance(parameters: Mapping[str, Any], images: int) -> None:
    """Raise BadParameter where so many images leave none to judge by, or cannot all be asked about."""
    s = seed_count(images, parameters["seeds"])
    if s >= images:
        detail = f"{s} of {images} images as seeds leave none to judge by; send more, or take fewer as seeds."
        raise BadParameter.at("/parameters/seeds", detail)
    most = parameters["max_queries"]
    if most is not None and most < images:
        detail = f"max_queries is {most}, and to label {images} images takes {images}; give more, or send fewer images."
        raise BadParameter.at("/parameters/max_queries", detail)
    *_, count = sizes(s, None, **_sizing(parameters))
    if count > MOST_IMAGES:
        detail = (
            f"rounds is {parameters['rounds']}: from {s} seeds that makes {count} images, and {MOST_IMAGES} is the "
            "most; take fewer rounds or doublings."
        )
        raise BadParameter.at("/parameters/rounds", detail)


def _sizing(parameters: Mapping[str, Any]) -> dict[str, int]:
    return {name: parameters[name] for name in ("rounds", "doublings", "reservoir")}
