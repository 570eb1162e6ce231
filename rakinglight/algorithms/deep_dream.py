"""A photograph in which a layer sees more of all that it sees already."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import eight_bit, pictures
from rakinglight.card import Card
from rakinglight.codes import code_at
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    AnimationFormat,
    CodeLayer,
    DreamStep,
    DreamSteps,
    Frames,
    Jitter,
    Octaves,
    OctaveScale,
    Zoom,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Compute, State
from rakinglight.relays import as_part, resumable
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

#: Pictures of the network's size that the image is seen as, at most: what a step costs.
TILES = 64
#: Milliseconds that a frame of an animation is shown.
FRAME_MS = 120


class Strength:
    """-|phi|^2 / 2: less of it is more of what the layer puts out."""

    def __call__(self, phi: "Tensor") -> "Tensor":
        return -phi.square().flatten(1).sum(1) / 2


@dataclass
class Steepest:
    """Steps along the slope whose mean size is `eta`, as in the authors' program."""

    eta: float
    state: dict[str, Any]

    def step(self, z: "Tensor", g: "Tensor") -> "Tensor":
        mean = g.abs().mean((1, 2, 3), keepdim=True)
        return z - self.eta * g / mean.clamp(min=1e-12)


def deep_dream(
    subject: Subject,
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    layer: CodeLayer = None,
    octaves: Octaves = 4,
    octave_scale: OctaveScale = 1.4,
    steps: DreamSteps = 10,
    step_size: DreamStep = 1.5 / 255,
    jitter: Jitter = 32,
    frames: Frames = 0,
    zoom: Zoom = 1.05,
    animation: AnimationFormat = "webp",
) -> "Algorithm[Inverted]":
    """Makes the photograph more of what a layer sees in it, from coarse to fine, at its own size.

    Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks", Google Research Blog 2015, with their
    program's octaves and normalised steps. Their network took images of any size. One that takes a single size sees the
    photograph as tiles of that size, which lie elsewhere at each step (`jitter`), and so leave no seams. A photograph
    with a side shorter than the network's is brought to what the network sees first.

    subject  the image x at its own size
    card     of the network
    noise    the run's own random numbers, for the jitter
    state    from which to go on, as its Progress had it
    Returns a picture of the image's size; with `frames`, an `animation` that goes on zooming into it, as bytes.
    Raises BadParameter for an image of more than 64 tiles.
    """
    from rakinglight.energy import Pixels, minimize

    state = state or {}
    code, (_, H, W) = code_at(card, layer), card.input_shape
    x = subject.x if min(subject.x.shape[1] - H, subject.x.shape[2] - W) >= 0 else subject.seen
    if (tiles := math.ceil(x.shape[1] / H) * math.ceil(x.shape[2] / W)) > TILES:
        detail = (
            f"The image is {tiles} times what the network sees at once, and at most {TILES} can be; make it smaller."
        )
        raise BadParameter.at("/images", detail)
    parts = octaves + frames

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        corners = tiled(rows.shape[-2:], (H, W))
        value, g = yield from code.slope(cut(rows[0], corners, (H, W)), Strength())
        return value.sum()[None], joined(g, corners, rows.shape[-2:])[None]

    before: list[Sequence[float]] = []  # the trace of the parts that are done

    def made(images: "Tensor", trace: "Sequence[Sequence[float]]") -> Inverted:
        return Inverted(resized(images[0], (x.shape[1], x.shape[2])).clamp(0, 1)[None], [*before, *trace])

    def dreamt(base: "Tensor", part: int, **known: Any) -> "Algorithm[Tensor]":
        def begin(state: State | None) -> "Algorithm[Inverted]":
            descent = Steepest(step_size, {})
            return minimize(canvas, ask, (), descent, steps=steps, noise=noise, jitter=jitter, made=made, state=state)

        canvas, known = Pixels(base[None].clamp(0, 1)), {**known, "part": part, "before": list(before)}
        found = yield from as_part(resumable(begin, state, f"part {part}", **known), part, parts)
        before[:] = found.trace
        return canvas.image()[0]

    done, picture, shown = 0, x, list[Any]()
    added: Tensor | None = None
    if state:
        done, added, picture, shown = state["part"], state["added"], state["picture"], list(state["frames"])
        before[:] = state["before"]
    for part, size in enumerate(sizes(x, octaves, octave_scale, (H, W))):
        if part < done:
            continue
        base = resized(x, size)
        begun = base if added is None else base + resized(added, size)
        picture = yield from dreamt(begun, part, added=added, picture=picture, frames=shown)
        added = picture - base
    for part in range(max(done, octaves), parts):
        if not shown:
            shown = [eight_bit.from_float(picture.numpy())]
        inside = zoomed(picture, zoom)
        picture = yield from dreamt(inside, part, added=added, picture=picture, frames=shown)
        shown = [*shown, eight_bit.from_float(picture.numpy())]
    if not shown:
        return Inverted(picture[None], before)
    moving = yield Compute(partial(animated, shown, animation))
    from torch import from_numpy

    return Inverted(from_numpy(eight_bit.to_float(shown[0]))[None], before, {"animation": moving})


def sizes(x: "Tensor", octaves: int, scale: float, least: tuple[int, int]) -> list[tuple[int, int]]:
    """The height and width of x at each octave, the last its own; none is below `least`."""
    _, height, width = x.shape
    shrunk = [scale**-k for k in reversed(range(octaves))]
    return [(max(least[0], round(height * by)), max(least[1], round(width * by))) for by in shrunk]


def tiled(size: "tuple[int, ...]", tile: tuple[int, int]) -> list[tuple[int, int]]:
    """The upper left corners of as few tiles as cover an image of that size; the last ones overlap."""
    rows, columns = ([min(i * b, a - b) for i in range(math.ceil(a / b))] for a, b in zip(size, tile, strict=True))
    return [(row, column) for row in rows for column in columns]


def cut(x: "Tensor", corners: list[tuple[int, int]], tile: tuple[int, int]) -> "Tensor":
    """The tiles of x [C, h, w]: [n, C, H, W]."""
    from torch import stack

    return stack([x[:, row : row + tile[0], column : column + tile[1]] for row, column in corners])


def joined(tiles: "Tensor", corners: list[tuple[int, int]], size: "tuple[int, ...]") -> "Tensor":
    """The tiles [n, C, H, W] at their places in an image [C, h, w], and their mean where they overlap."""
    whole = tiles.new_zeros(tiles.shape[1], *size)
    count = tiles.new_zeros(1, *size)
    for one, (row, column) in zip(tiles, corners, strict=True):
        place = (slice(None), slice(row, row + one.shape[1]), slice(column, column + one.shape[2]))
        whole[place] += one
        count[place] += 1
    return whole / count


def resized(x: "Tensor", size: tuple[int, int]) -> "Tensor":
    """The image x [C, h, w] at another size, bicubic and antialiased."""
    from torch.nn.functional import interpolate

    if tuple(x.shape[1:]) == size:
        return x
    return interpolate(x[None], size=size, mode="bicubic", antialias=True)[0]


def zoomed(x: "Tensor", by: float) -> "Tensor":
    """The middle of x [C, h, w], enlarged to its size."""
    _, height, width = x.shape
    top, left = (math.floor((side - side / by) / 2) for side in (height, width))
    return resized(x[:, top : height - top, left : width - left], (height, width)).clamp(0, 1)


def animated(frames: list[Any], kind: str) -> "np.ndarray[Any, Any]":
    """The bytes, uint8 [n], of an endless animation of frames uint8 [H, W, C]."""
    first, *others = [pictures.from_pixels(frame) for frame in frames]
    out = BytesIO()
    first.save(out, kind, save_all=True, append_images=others, duration=FRAME_MS, loop=0)
    return np.frombuffer(out.getvalue(), np.uint8)
