"""States as the wire takes them: trees of numpy arrays and plain values. Needs no torch to be imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from rakinglight.inverted import Inverted
from rakinglight.maps import Map


def to_arrays(tree: Any) -> Any:
    """A copy of `tree` in arrays and plain values alone: an algorithm may go on writing to what it has shown."""
    import torch

    match tree:
        case torch.Tensor():
            return {"$tensor": tree.detach().cpu().numpy().copy()}
        case np.ndarray():
            return tree.copy()
        case Map():
            return {"$map": {member.name: to_arrays(getattr(tree, member.name)) for member in fields(tree)}}
        case Inverted():  # without its original: that is for a run to know, which asks for it anew
            return {"$inverted": {name: to_arrays(getattr(tree, name)) for name in ("images", "trace", "said")}}
        case Mapping():
            return {name: to_arrays(value) for name, value in tree.items()}
        case list() | tuple():
            return [to_arrays(value) for value in tree]
        case _:
            return tree


def to_tensors(tree: Any) -> Any:
    """What `to_arrays` was given, bit for bit: its own copy again, so that a state can be taken up many times."""
    import torch

    match tree:
        case {"$tensor": np.ndarray() as array}:
            return torch.from_numpy(array.copy())
        case {"$map": members}:
            return Map(**to_tensors(members))
        case {"$inverted": members}:
            return Inverted(**to_tensors(members))
        case np.ndarray():
            return tree.copy()
        case Mapping():
            return {name: to_tensors(value) for name, value in tree.items()}
        case list() | tuple():
            return [to_tensors(value) for value in tree]
        case _:
            return tree
