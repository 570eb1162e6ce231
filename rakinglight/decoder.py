"""A decoder: a small network that gives back the picture whose code it is told, in one pass.

Dosovitskiy & Brox, "Inverting visual representations with convolutional networks", CVPR 2016: trained on pairs of an
image and its code to the least squared error of the pixels, so that what it gives is the mean of the pictures that have
this code. Here upconvolutions are an enlargement and a convolution, which leaves no checkerboard.

The file beside a network's weights holds numbers alone; `model_store.training.decoder` trains it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rakinglight.detector import header
from rakinglight.errors import Unreadable

if TYPE_CHECKING:
    from typing import Self

    from rakinglight.card import Card

#: Sides of the map that a code without height and width is laid out on.
FIRST = 4
#: The slope of the rectifiers below zero, as published.
LEAK = 0.2


@dataclass(frozen=True)
class About:
    """What a decoder says of itself.

    layer       whose output it takes
    code        the shape of that, [K] or [K, h, w]
    image       the shape of the picture, [C, H, W]
    channels    of its maps, from the code to the picture: each twice as large as the one before, but for the first
    provenance  what it learnt from, in a sentence
    """

    layer: str
    code: tuple[int, ...]
    image: tuple[int, int, int]
    channels: tuple[int, ...]
    provenance: str


class Decoder(nn.Module):
    """Codes [n, K] or [n, K, h, w] of a layer -> pictures [n, C, H, W] in (0, 1)."""

    def __init__(self, about: About) -> None:
        super().__init__()
        self.about = about
        first, *others = about.channels
        count, self.spatial = about.code[0], len(about.code) == 3 and max(about.code[1:]) > 1
        self.side = about.code[1] if self.spatial else FIRST
        # A code's units are of unlike sizes: each is brought to the spread that it has over the images of the training.
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.first: nn.Module
        if self.spatial:
            around = nn.Conv2d(first, first, 3, padding=1)
            self.first = nn.Sequential(nn.Conv2d(count, first, 1), nn.LeakyReLU(LEAK), around)
        else:
            self.first = nn.Linear(count, first * FIRST * FIRST)
        widths = [first, *others]
        self.maps = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], about.image[0], 3, padding=1)

    mean: Tensor
    spread: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        H, W = self.about.image[1:]
        codes = codes if self.spatial else codes.flatten(1)
        by_unit = (-1, 1, 1) if self.spatial else (-1,)
        x = self.first((codes - self.mean.view(by_unit)) / self.spread.view(by_unit))
        x = _rectified(x if self.spatial else x.unflatten(1, (-1, FIRST, FIRST)))
        side = self.side
        for convolution in self.maps:
            side = min(2 * side, max(H, W))
            x = _rectified(convolution(_enlarged(x, min(side, H), min(side, W))))
        picture: Tensor = self.last(x)
        return torch.sigmoid(_enlarged(picture, H, W))

    def standardize(self, codes: Tensor) -> None:
        """Bring every unit to the mean 0 and the spread 1 that it has in `codes`, those of the training."""
        values = codes.flatten(2).transpose(1, 2).flatten(0, 1) if codes.ndim == 4 else codes.flatten(1)
        self.mean.copy_(values.mean(0))
        self.spread.copy_(values.std(0).clamp(min=1e-3))

    def picture(self, code: Tensor) -> Tensor:
        """The picture [C, H, W] of one code, [K] or [K, h, w]."""
        with torch.no_grad():
            pictures: Tensor = self(code[None].to(self.mean))
        return pictures[0]

    def fitting(self, card: Card) -> Self:
        """This decoder, if it is for a layer of the network of `card`. Raises Unreadable."""
        about = self.about
        if card.layers.get(about.layer) != about.code or card.input_shape != about.image:
            raise Unreadable(
                f"The decoder of {card.name} is for {about.layer} of another network; train it again: "
                f"python -m model_store train {card.name} --decoder {about.layer}."
            )
        return self

    def to_bytes(self) -> bytes:
        """Safetensors in half precision, with `about` in their metadata."""
        from safetensors.torch import save

        tensors = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        return save(tensors, {"decoder": json.dumps(asdict(self.about))})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` made, in single precision and frozen. Raises Unreadable."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            told = json.loads(header(data)["decoder"])
            shapes = {name: tuple(map(int, told[name])) for name in ("code", "image", "channels")}
            about = About(str(told["layer"]), shapes["code"], _three(shapes["image"]), shapes["channels"],
                          str(told["provenance"]))  # fmt: skip
            decoder = cls(about)
            decoder.load_state_dict({name: tensor.float() for name, tensor in load(data).items()})
        except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as e:
            raise Unreadable(f"This is no decoder's file ({type(e).__name__}: {e}); train it again.") from e
        return decoder.eval().requires_grad_(False)


def member(layer: str) -> str:
    """The name in an archive of the decoder of `layer`."""
    return f"decoder.{layer}.safetensors"


def _rectified(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, LEAK)


def _enlarged(x: Tensor, H: int, W: int) -> Tensor:
    return x if x.shape[2:] == (H, W) else interpolate(x, size=(H, W), mode="bilinear", align_corners=False)


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    C, H, W = shape
    return C, H, W
