"""What a model that runs here, or is asked from here, was asked about: kept, to be looked at after the event."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.client import Client
from rakinglight.in_process import InProcess

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.card import Card
    from rakinglight.network import Network, Scorer
    from rakinglight.queries import Scores

Array = np.ndarray[Any, Any]

#: Bytes of images that are kept at most.
MOST = 256 * 2**20
#: Pixels by which two images are told apart before all of them are looked at, and images compared at a time.
GLANCE, AT_ONCE = 64, 32


class Recording(InProcess):
    """The models of `other`, each image that they are asked about written down once, with its first answer.

    images   uint8 [C, H, W], in the order in which they first came
    labels   what was said of them
    whole    whether all are there; one network's that are too large to be kept are not
    """

    def __init__(self, other: InProcess, most: int = MOST) -> None:
        super().__init__()
        self.other, self.most, self.whole = other, most, True
        self.images: list[Array] = []
        self.labels: list[int] = []
        self._seen: set[bytes] = set()
        self._bytes = 0
        self._noting = threading.Lock()

    def __repr__(self) -> str:
        return repr(self.other)

    def models(self) -> list[dict[str, Any]]:
        return self.other.models()

    def read_card(self, name: str) -> Card:
        return self.other.card(name)

    def load_network(self, card: Card) -> Network:
        network = self.other.load_network(card)
        return replace(network, forward=Recorder(network.forward, self))

    def end(self, name: str) -> None:
        self.other.end(name)

    def note(self, rows: Array, labels: Sequence[int]) -> None:
        """Write down rows, float32 [n, C, H, W] in [0, 1], and what was said of each. Padding is a repetition."""
        levels = np.rint(rows * 255).astype(np.uint8)
        with self._noting:
            for image, label in zip(levels, labels, strict=True):
                if (key := image.tobytes()) in self._seen or not self.whole:
                    continue
                self._bytes += 2 * image.nbytes
                if self._bytes > self.most:
                    self.whole = False
                    self.images, self.labels, self._seen = [], [], set()
                    return
                self._seen.add(key)
                self.images.append(image)
                self.labels.append(label)

    def training(self, seeds: Sequence[bool], epsilon: float, queries: int) -> tuple[Array, Array] | None:
        """What `substitute` asked to learn from: uint8 [N, C, H, W], and int64 [N], in order.

        The operation asks about all images first, and later about pictures within epsilon of the held-out ones. All
        else is the attack's, and the control's after that.

        seeds    of the images, each once, whether it is a seed; the others are held out
        epsilon  the largest, in units of [0, 1]
        queries  that the attack itself had; None where not all are there
        """
        n = len(seeds)
        if not self.whole or len(self.images) < n:
            return None
        radius = floor(epsilon * 255 + 1e-4)
        images, seeded = np.stack(self.images), np.array(seeds, bool)
        near = _near(images[n:], images[:n][~seeded], radius)
        chosen = np.concatenate([np.flatnonzero(seeded), n + np.flatnonzero(~near)])[:queries]
        return images[chosen], np.asarray(self.labels)[chosen]

    def all(self) -> tuple[Array, Array]:
        """All that was asked, in order, each image once: uint8 [N, C, H, W], and int64 [N]."""
        return np.stack(self.images), np.asarray(self.labels)


class Recorder:
    """A backend whose answers are written down."""

    def __init__(self, backend: Scorer, recording: Recording) -> None:
        self.backend, self.recording = backend, recording
        self.name = backend.name

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        scores = self.backend.forward(rows, layers)
        self.recording.note(rows.detach().cpu().numpy(), scores.logits.argmax(1).tolist())
        return scores


def recorded(client: Client) -> tuple[Client, Recording]:
    """A client of the same models, in this process, and the recording of what they are asked."""
    assert isinstance(client._transport, InProcess), "what a service is asked is not seen here"
    recording = Recording(client._transport)
    return Client(recording), recording


def _near(images: Array, others: Array, radius: int) -> Array:
    """Whether each of `images` [N, C, H, W] is within `radius` of one of `others` [M, C, H, W] everywhere: bool [N]."""
    x, y = (levels.reshape(len(levels), -1).astype(np.int16) for levels in (images, others))
    glance = np.linspace(0, x.shape[1] - 1, min(GLANCE, x.shape[1])).astype(int)
    found = np.zeros(len(x), bool)
    for first in range(0, len(x), AT_ONCE):
        some = x[first : first + AT_ONCE]
        likely = (np.abs(some[:, None, glance] - y[None, :, glance]) <= radius).all(2)
        for i, j in zip(*likely.nonzero(), strict=True):
            found[first + i] |= bool((np.abs(some[i] - y[j]) <= radius).all())
    return found
