"""One image before one network: what an operation is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight import defended, eight_bit
from rakinglight.card import Card, check_others
from rakinglight.defenses import Chain, Defense
from rakinglight.geometry import Geometry
from rakinglight.noise import Noise
from rakinglight.parameters import Rank
from rakinglight.queries import Algorithm, Forward, Scores
from rakinglight.view import View, through

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.decoder import Decoder
    from rakinglight.detector import Detector

R = TypeVar("R")


@dataclass
class Subject:
    """One image before one network.

    x       [C, H, W] in [0, 1], at its own size
    view    the way from there to what the model sees
    others  the cards of the other networks that the engine has, by name
    chain   the defences that an image passes between its view and the network
    draws   of a chain that is random: the gradient of an adaptive attack is the mean over so many
    detector  the network's, of adversarial images, where it has one
    decoders  the network's, by layer: who gives back a picture for a code
    given   whether x is an image that came; else the model's mean colour stands for one
    """

    card: Card
    x: Tensor
    view: View
    noise: Noise
    others: Mapping[str, Card] = field(default_factory=dict)
    chain: Chain = field(default_factory=Chain)
    draws: int = 1
    detector: Detector | None = None
    given: bool = True
    decoders: Mapping[str, Decoder] = field(default_factory=dict)

    @staticmethod
    def of(
        card: Card,
        pixels: np.ndarray[Any, Any],
        seed: int = 0,
        others: Mapping[str, Card] | None = None,
        detector: Detector | None = None,
    ) -> Subject:
        """The subject of `pixels`: uint8 [H, W, C], or an exact float32 tensor [C, H, W] in [0, 1]."""
        import torch

        x = torch.from_numpy(eight_bit.to_float(pixels) if pixels.dtype == np.uint8 else np.array(pixels, np.float32))
        return Subject(card, x, _view(card, x), Noise(seed), others or {}, detector=detector)

    @property
    def seen(self) -> Tensor:
        """[C, h, w]: the image as the model sees it."""
        return self.view(self.x)

    def view_of(self, network: str) -> View:
        """How another network sees the image. Raises BadParameter where it has none of the kind."""
        check_others([network], self.card, self.others)
        return _view(self.others[network], self.x)

    def before(self, network: str) -> Subject:
        """The same image before another network, by itself: its queries are to be addressed to that.

        Raises BadParameter where it has none of the kind.
        """
        view = self.view_of(network)
        return replace(self, card=self.others[network], view=view, chain=Chain(), draws=1)

    def behind(self, defenses: tuple[Defense, ...], draws: int = 1) -> Subject:
        """The same, behind these defences and no others."""
        return replace(self, chain=Chain(defenses), draws=draws)

    def scores(self, x: Tensor) -> Algorithm[Tensor]:
        """The logits [K] of a picture x [C, H, W] of this size, alone: what `classify` would say of it.

        Behind a random chain they are of the mean over `judged_draws` draws.
        """
        return defended.together((yield from self.answers(x)))

    def answers(self, x: Tensor) -> Algorithm[Tensor]:
        """As `scores`, but of each draw: [n, K]. Where nothing is random there is one."""
        if self.chain:
            return (yield from defended.answers(self.view, self.chain, x, self.chain.judged_draws))
        scores: Scores = yield Forward(self.view(x), seen=True)
        return scores.logits[None]

    def shown(self, x: Tensor) -> Algorithm[Tensor]:
        """[C, h, w]: what the network is shown of a picture x [C, H, W]; of several copies, the first."""
        if not self.chain:
            return self.view(x)
        return (yield from defended.shown(self.view, self.chain, x))[0, 0]

    def detected(self, shown: Tensor) -> Algorithm[dict[str, Any]]:
        """What the detector says, given what the network is shown [C, h, w]: asked apart, so that nothing that is said
        otherwise depends on it. One row.
        """
        assert self.detector is not None, "`Card.check_detector` has seen to it"
        scores: Scores = yield Forward(shown, self.detector.about.layers, seen=True)
        return self.detector.verdict(scores.activations)

    def through(self, algorithm: Algorithm[R]) -> Algorithm[R]:
        """`algorithm`, seeing the network from here: through the view, and through the chain as an adaptive attack."""
        if not self.chain:
            return through(self.view, algorithm)
        return defended.defended(self.view, self.chain, algorithm, seed=self.noise.seed, draws=self.draws)

    def class_index(self, reference: int | str | Rank, logits: Tensor) -> int:
        """The class that `reference` means for this image, whose logits are [K]."""
        if isinstance(reference, Rank):
            place = reference.rank - 1 if reference.rank > 0 else reference.rank
            return int(logits.argsort(descending=True, stable=True)[place])
        return self.card.class_index(reference)

    def prediction(self, logits: Tensor, index: int | None = None) -> dict[str, Any]:
        """What the model says: its first answer, or what it gives to class `index`."""
        index = int(logits.argmax()) if index is None else index
        said = {"index": index, "label": self.card.labels[index]}
        if self.card.tells == "labels":
            return said
        return {**said, "probability": float(logits.double().softmax(0)[index])}


def _view(card: Card, x: Tensor) -> View:
    """How the network of `card` sees x [C, H, W]."""
    return View(Geometry.of(x.shape[1], x.shape[2], card.input_shape, card.resize), x)
