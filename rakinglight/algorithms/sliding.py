"""Occlusion by a sliding window."""

from typing import TYPE_CHECKING

from rakinglight.errors import BadParameter
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import Filling, PerChannel, Stride, Window
from rakinglight.queries import WAVE, Algorithm, Forward, Progress, State
from rakinglight.rows import Patched

if TYPE_CHECKING:
    from torch import Tensor


def sliding(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    window: Window = None,
    stride: Stride = None,
    fill: Filling = "grey",
    per_channel: PerChannel = False,
) -> "Algorithm[Map]":
    """The score as a window moves over the image; a pixel's number is the mean drop over the windows that cover it.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2. The window stands
    at 0, stride, 2 stride, ..., and last at the border, so that every window is whole and every pixel is covered.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained, usually a class's probability
    noise  the run's own random numbers, for a fill of noise
    state  from which to go on, as its Progress had it
    Returns the map, in units of score: positive where covering takes from the class. Its grid [gh, gw], [C, gh, gw] per
    channel, is the score with the window at each place; a run that was stopped has NaN where it did not come to.
    Raises BadParameter where the window is larger than the image, or moves so far that it leaves pixels uncovered.
    """
    import torch

    C, H, W = x.shape
    window, stride = window_and_stride((C, H, W), window, stride)
    tops, lefts = (torch.tensor(places(length, window, stride)) for length in (H, W))
    channels = torch.arange(C if per_channel else 1)
    at = torch.cartesian_prod(channels, tops, lefts)  # [n, 3]
    rows = Patched(x, at[:, 1:], (window, window), filled(x, fill, noise), at[:, 0] if per_channel else None)
    R, L = (_covers(starts, window, length) for starts, length in ((tops, H), (lefts, W)))

    # Scores are in float64: of a class that is nearly certain, float32 has few probabilities left between one and the
    # next drop.
    if state:
        s, grid, done = state["whole"], state["grid"], state["step"]
    else:
        s = score((yield Forward(x)).logits[None].double())[0]
        grid, done = torch.full((len(rows),), torch.nan, dtype=torch.float64), 0

    def so_far() -> Map:
        g = grid.view(len(channels), len(tops), len(lefts))
        drops = (s - g).nan_to_num(0)  # of the places that have been seen
        covered = R.T @ (~g.isnan()).double() @ L
        mean = ((R.T @ drops @ L) / covered.clamp(min=1)).to(x)
        facts = {"window": window, "stride": stride, "score_whole": float(s)}
        if not per_channel:
            return Map(mean[0], facts={**facts, "grid": g[0].to(x)})
        return Map(mean.sum(0), signed=mean, facts={**facts, "grid": g.to(x)})

    for start in range(done, len(rows), WAVE):
        wave = rows[start : start + WAVE]
        done = start + len(wave)
        grid[start:done] = score((yield Forward(wave)).logits.double())
        yield Progress(done, len(rows), float(grid[:done].min()), best=so_far(), state={"whole": s, "grid": grid})
    return so_far()


def window_and_stride(shape: tuple[int, int, int], window: int | None, stride: int | None) -> tuple[int, int]:
    """The window and the stride that are meant for an image of `shape`, [C, H, W]. Raises BadParameter."""
    shorter = min(shape[1:])
    if window is None:
        window = max(1, shorter // 7)
    if stride is None:
        stride = max(1, window // 2)
    if window > shorter:
        raise BadParameter.at(
            "/parameters/window",
            f"window is {window}, and the image as the model sees it is {shape[1]}×{shape[2]}: give {shorter} at most.",
        )
    if stride > window:
        raise BadParameter.at(
            "/parameters/stride",
            f"stride is {stride} and window {window}: pixels between two places would never be covered; give a stride "
            f"of {window} at most, or a larger window.",
        )
    return window, stride


def places(length: int, window: int, stride: int) -> list[int]:
    """Where the window begins along a side of `length` pixels: each stride, and last where it ends at the border."""
    last = length - window
    return [*range(0, last, stride), last]


def _covers(starts: "Tensor", window: int, length: int) -> "Tensor":
    """Which pixels of a side the window covers from each start: 0 or 1, float64 [starts, length]."""
    import torch

    pixel = torch.arange(length)
    return ((starts[:, None] <= pixel) & (pixel < starts[:, None] + window)).double()
