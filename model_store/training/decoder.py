"""A decoder for a layer of a network that is trained already: from pairs of an image and its code, to the pixels.

Dosovitskiy & Brox, "Inverting visual representations with convolutional networks", CVPR 2016. `rakinglight.decoder`
says what a decoder is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model_store import digits
from model_store.training.fitting import Figures, one_thread, shifted
from rakinglight.decoder import FIRST, About, Decoder
from rakinglight.errors import NotFound, near

#: Photographs that scikit-image and scikit-learn carry: those that a decoder learns from, and those that judge it.
LEARNT = ("brick", "camera", "coins", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "moon", "retina")
JUDGED = ("astronaut", "chelsea", "coffee", "rocket")
#: Crops of the photographs that are learnt from.
CROPS = 400
#: Sides of a decoder's largest map; from there the picture is enlarged: late layers tell nothing that is finer.
LARGEST = 112

#: Pixels [n, C, H, W] in [0, 1] -> what the layer says of them, [n, ...].
Codes = Callable[[Tensor], Tensor]


def of_digits(network: nn.Module, layer: str, seed: int = 0, epochs: int = 12) -> tuple[Decoder, Figures]:
    """A decoder for `layer` of a network of grey pixels in [0, 1]; its errors on the 500 test digits.

    It learns from the 1,297 training digits, shifted as the networks' lessons are.
    """
    x, test = (torch.from_numpy(digits.pixels(part)[0]) for part in ("train", "test"))
    provenance = f"Trained here on {len(x)} digits, each shifted by up to 3 pixels."
    kind = Kind(layer, (48, 48, 32, 16), torch.zeros(1), provenance)
    return _trained(_told(network, layer), kind, x, test, seed, epochs, lambda rows: shifted(rows, 3))


def of_photographs(
    network: nn.Module, layer: str, mean: Sequence[float], std: Sequence[float], side: int, seed: int = 0,
    epochs: int = 8,
) -> tuple[Decoder, Figures]:  # fmt: skip
    """A decoder for `layer` of a network of normalised colours; its errors on four photographs that it never saw.

    Few photographs are at hand: it learns what colours and edges the layer's units stand for, and little of what the
    world looks like.

    mean, std  of the network, per channel
    side       of its input
    """
    photographs = _photographs(LEARNT)
    x = _crops(photographs, CROPS, side, np.random.default_rng(seed))
    test = _crops(_photographs(JUDGED, learnt=False), len(JUDGED), side)
    provenance = f"Trained here on {len(x)} crops of {len(photographs)} photographs: few."
    kind = Kind(layer, (64, 48, 32, 24), torch.tensor(mean), provenance)
    return _trained(_told(network, layer, mean, std), kind, x, test, seed, epochs, batch=8)


@dataclass(frozen=True, eq=False)
class Kind:
    """What a decoder is to be.

    channels  of its maps where four enlargements are needed; of fewer, the first and the last of them
    mean      [C], the colour whose distance the errors are told in
    """

    layer: str
    channels: tuple[int, ...]
    mean: Tensor
    provenance: str

    def widths(self, code: Sequence[int], side: int) -> tuple[int, ...]:
        """The channels of a decoder of codes of this shape, for pictures of this side."""
        start = code[1] if len(code) == 3 and max(code[1:]) > 1 else FIRST
        needed = max(1, ceil(log2(min(side, LARGEST) / start)))
        return (self.channels[0], *self.channels[max(1, len(self.channels) - needed) :])


def _trained(
    codes: Codes,
    kind: Kind,
    x: Tensor,
    test: Tensor,
    seed: int,
    epochs: int,
    changed: Callable[[Tensor], Tensor] | None = None,
    batch: int = 32,
) -> tuple[Decoder, Figures]:
    """A decoder that has learnt x [n, C, H, W], and its errors on `test`.

    changed  what is done to a batch each time; None where nothing is: then every code is asked for once
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        _, C, H, W = x.shape
        known = torch.cat([codes(x[i : i + batch]) for i in range(0, len(x), batch)])
        shape = tuple(known.shape[1:])
        decoder = Decoder(About(kind.layer, shape, (C, H, W), kind.widths(shape, min(H, W)), kind.provenance))
        decoder.standardize(known)
        optimizer = torch.optim.AdamW(decoder.parameters())
        steps = epochs * -(-len(x) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), batch):
                shown = changed(x[rows]) if changed else x[rows]
                optimizer.zero_grad()
                found = decoder(codes(shown) if changed else known[rows])
                (found - shown).square().mean().backward()
                optimizer.step()
                schedule.step()
        decoder = Decoder.from_bytes(decoder.to_bytes())  # judged as it is kept
        return decoder, errors(codes, decoder, test, kind.mean)


def errors(codes: Codes, decoder: Decoder, x: Tensor, mean: Tensor) -> Figures:
    """Medians over x [n, C, H, W] of the squared distances of pixels and of codes, by those of the mean colour [C]."""
    phi = codes(x)
    with torch.no_grad():
        found = decoder(phi)
    blank = mean.view(1, -1, 1, 1).expand_as(x)
    at_blank = codes(blank[:1]).expand_as(phi)
    return {"pixel error": _share(found, x, blank), "feature error": _share(codes(found), phi, at_blank)}


def _share(found: Tensor, wanted: Tensor, blank: Tensor) -> float:
    off, whole = ((one - wanted).double().square().flatten(1).sum(1) for one in (found, blank))
    return float((off / whole).median())


def _told(network: nn.Module, layer: str, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)) -> Codes:
    """What the layer says of pixels in [0, 1]. Raises NotFound."""
    there = [name for name, _ in network.named_modules()]
    if layer not in there:
        raise NotFound(f"There is no layer {layer!r}: {near(layer, there)}")
    m, s = (torch.tensor(each).view(1, -1, 1, 1) for each in (mean, std))

    def codes(x: Tensor) -> Tensor:
        heard: list[Tensor] = []
        hook = network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: heard.append(output))
        with torch.no_grad():
            network((x - m) / s)
        hook.remove()
        return heard[0]

    return codes


def _photographs(names: tuple[str, ...], *, learnt: bool = True) -> list[np.ndarray[Any, Any]]:
    """uint8 [H, W, 3]."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    carried = [getattr(skimage.data, name)() for name in names]
    if learnt:
        carried += [*load_sample_images().images, *skimage.data.stereo_motorcycle()[:2]]  # type: ignore[no-untyped-call]
    return [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in carried]


def _crops(
    photographs: list[np.ndarray[Any, Any]], count: int, side: int, draw: np.random.Generator | None = None
) -> Tensor:
    """Squares of photographs in turn, [count, 3, side, side]: random ones, mirrored or not; else the middle."""
    from PIL import Image

    found = []
    for i in range(count):
        picture = Image.fromarray(photographs[i % len(photographs)][..., :3])
        short = min(picture.size)
        crop = int(draw.integers(min(side, short), short + 1)) if draw else short
        left, top = (int(draw.integers(0, one - crop + 1)) if draw else (one - crop) // 2 for one in picture.size)
        square = picture.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + crop, top + crop))
        pixels = np.asarray(square, np.float32).transpose(2, 0, 1) / 255
        found.append(pixels[..., ::-1] if draw and draw.integers(2) else pixels)
    return torch.from_numpy(np.ascontiguousarray(np.stack(found)))
