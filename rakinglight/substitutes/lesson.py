"""How far a substitute has come: its images, what the oracle said of them, and the student that learns from both."""

from __future__ import annotations

from math import copysign, floor
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rakinglight.noise import Noise
from rakinglight.queries import State
from rakinglight.substitutes.album import Album
from rakinglight.substitutes.student import Student

if TYPE_CHECKING:
    from torch import Tensor

#: Seconds of training at a time: whoever waits for the thread waits no longer than that and one step of Adam.
SLICE_S = 0.03


class Lesson:
    """What a run of `papernot` knows.

    student  F
    album    S, the images
    told     O(x) of the first of them: int64 [n], or probabilities [n, K]
    small    [n, C, h, w], what the student looks at of the first of them
    round    rho
    learnt   steps of Adam in this round
    curve    a point for each round that was judged, the last maybe in part
    """

    def __init__(self, student: Student, seeds: Tensor, noise: Noise, *, soft: bool, state: State) -> None:
        import torch

        self.student, self.noise, self.soft = student, noise, soft
        self.album = Album(seeds, student.cell, state.get("album"))
        self.small = torch.empty((0, *student.small(seeds[:1]).shape[1:]))
        self.told = torch.empty((0, student.classes)) if soft else torch.empty(0, dtype=torch.int64)
        self.order = torch.empty(0, dtype=torch.int64)
        self.round = self.learnt = 0
        self.curve: list[dict[str, Any]] = []
        if state:
            self.told, self.order, self.curve = state["told"], state["order"], list(state["curve"])
            self.round, self.learnt = state["round"], state["learnt"]
            noise.go_on(state["noise"])

    @property
    def state(self) -> dict[str, Any]:
        """From which another goes on, beside the seeds."""
        return {
            "student": self.student.state,
            "album": self.album.state,
            "told": self.told,
            "order": self.order,
            "curve": self.curve,
            "round": self.round,
            "learnt": self.learnt,
            "noise": self.noise.state,
        }

    def look(self, count: int) -> None:
        """Look at the next `count` images of the album, which were added, or were there when this went on."""
        import torch

        at = len(self.small)
        pictures = self.album.pictures(at, min(len(self.album), at + count))
        self.small = torch.cat([self.small, self.student.small(pictures)])

    def hear(self, logits: Tensor) -> None:
        """Take in what the oracle said of the next images, [n, K]."""
        import torch

        self.told = torch.cat([self.told, logits.double().softmax(1).float() if self.soft else logits.argmax(1)])

    def learn(self, steps: int, rate: float, batch_size: int) -> None:
        """Steps of Adam until there are `steps` in this round, or it is time to let others come by."""
        import torch

        until, n = perf_counter() + SLICE_S, len(self.told)
        while self.learnt < steps:
            first = self.learnt * batch_size % (-(-n // batch_size) * batch_size)
            if not first:  # an epoch begins
                self.order = self.noise.uniform(torch.empty(n), 0, 1).argsort()
            batch = self.order[first : first + batch_size]
            self.student.learn(self.small[batch], self.told[batch], rate)
            self.learnt += 1
            if perf_counter() > until:
                return

    def step_from(self, parents: Tensor, step: float, *, at_random: bool) -> None:
        """Add the images that are a step from `parents`, int64 [n], numbers of images."""
        import torch

        small, k = self.small[parents], self.told[parents]
        if at_random:
            signs = torch.where(self.noise.uniform(small, 0, 1) < 0.5, -1, 1).to(torch.int8)
        else:
            signs = self.student.jacobian_signs(small, k.argmax(1) if self.soft else k)
        self.album.add(parents, signs, levels(step))

    def drawn(self, count: int) -> Tensor:
        """`count` of the images by number, int64 [count], each as likely as any other: a reservoir (Vitter 1985, R)."""
        import torch

        n = len(self.album)
        kept = list(range(count))
        places = self.noise.uniform(torch.empty(n), 0, 1).double() * torch.arange(1, n + 1)
        for number, place in enumerate(places.long().tolist()):
            if number >= count and place < count:
                kept[place] = number
        return torch.tensor(kept)


def levels(step: float) -> int:
    """Whole grey levels in `step`, which is in units of [0, 1]; not more of them than it has."""
    return int(copysign(floor(abs(step) * 255 + 1e-4), step))
