"""Gradient-weighted class activation mapping."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.objectives import Objective
from rakinglight.parameters import SpatialLayer
from rakinglight.queries import Algorithm, Forward, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def grad_cam(x: "Tensor", score: Objective, last_layer: str, *, layer: SpatialLayer = None) -> "Algorithm[Map]":
    """The channels of a layer, each weighted by the mean of its gradient; what is negative is cut.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks", ICCV 2017, equations 1 and 2.

    x           [C, H, W], pixels in [0, 1]
    score       the objective that is explained
    last_layer  the last layer of the network whose output has height and width
    Returns the map, enlarged to x's height and width between the centres of the layer's cells. Not negative.
    """
    from torch.nn.functional import interpolate

    layer = layer or last_layer
    A = (yield Forward(x, (layer,))).activations[layer]  # [K, h, w]
    g = (yield Gradient(x, score, wrt=layer)).gradient
    alpha = g.mean((-2, -1), keepdim=True)  # equation 1
    L = (alpha * A).sum(-3).relu()  # equation 2
    enlarged = interpolate(L[None, None], x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    return Map(enlarged, facts={"layer": layer, "cells": L})
