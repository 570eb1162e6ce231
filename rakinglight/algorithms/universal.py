"""A universal perturbation, applied."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rakinglight.errors import BadParameter, shown
from rakinglight.geometry import Geometry
from rakinglight.norms import NORMS
from rakinglight.parameters import Epsilon, NormChoice, PerturbationReference
from rakinglight.queries import Algorithm, Progress
from rakinglight.view import View
from rakinglight.wire import array_from_json

if TYPE_CHECKING:
    from torch import Tensor


def universal(
    x: "Tensor",
    view: View,
    *,
    perturbation: PerturbationReference,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 10 / 255,
) -> "Algorithm[Tensor]":
    """What fools most images, added to this one: no row is asked for.

    Moosavi-Dezfooli et al., "Universal Adversarial Perturbations", CVPR 2017, section 2.

    x             [C, H, W], pixels in [0, 1]
    view          from there to what the network sees, [C, h, w]
    perturbation  v [C, h, w]. Where an image is not of the network's own size, each of its pixels takes the mean of v
                  over the places that see it, by how much they do: so v is no larger there
    Returns x + v, no further than epsilon from x, pixels in [0, 1].
    Raises BadParameter for an id, which is a service's to look up, and for a v of another number of channels.
    """
    import torch

    C, h, w = len(x), len(view.A), len(view.B)
    fits((C, h, w), perturbation)
    if isinstance(perturbation, str):
        detail = f"{shown(perturbation)} is known to the service that has made it; give the array itself here."
        raise BadParameter.at("/parameters/perturbation", detail)
    v = torch.from_numpy(array_from_json(dict(perturbation)).copy()).to(x)
    if v.shape[1:] != (h, w):  # it was made for a network of another input size
        _, height, width = v.shape
        A, B = (torch.from_numpy(side).to(x) for side in Geometry.of(height, width, (C, h, w)).matrices())
        v = A @ v @ B.T
    delta = v if view.geometry.identity else _means(view.A) @ v @ _means(view.B).T
    x_adv = (x + NORMS[norm].project(delta, epsilon)).clamp(0, 1)
    yield Progress(1, 1, best=x_adv)
    return x_adv


def fits(shape: tuple[int, int, int], perturbation: str | Mapping[str, Any]) -> None:
    """Raise BadParameter where the tensor `perturbation` has not the channels of an image of `shape`, [C, H, W]."""
    if not isinstance(perturbation, str) and (len(perturbation["shape"]), perturbation["shape"][0]) != (3, shape[0]):
        detail = f"The perturbation has the shape {perturbation['shape']}; here it is [{shape[0]}, height, width]."
        raise BadParameter.at("/parameters/perturbation", detail)


def _means(A: "Tensor") -> "Tensor":
    """[H, h]: how much of a pixel each place is that sees it, of those that see it together; 0 where none does."""
    return (A / A.sum(0).clamp(min=1e-6)).T
