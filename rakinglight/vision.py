"""`torchvision`, importable beside any build of torch.

    from rakinglight.vision import torchvision

As it is imported, torchvision describes its own compiled operators to torch. Where these do not load (a torchvision
built for CUDA beside a torch built for the CPU), two of them are described without being there, and the import fails.
We need its architectures and its labels, which are plain Python, so the two are declared first, with nothing behind
them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch.library import Library

#: Detection's non-maximum suppression, for floats and for quantised tensors; no classifier calls it.
MISSING = ("nms", "qnms")


def _operators_load() -> bool:
    spec = find_spec("torchvision")
    folders = spec.submodule_search_locations or [] if spec else []
    for library in (found for folder in folders for found in Path(folder).glob("_C.*")):
        try:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return True
    return False


def _declared() -> Library:
    library = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in MISSING:
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


#: What was declared is gone when this is.
_library = None if _operators_load() else _declared()

import torchvision  # noqa: E402  the operators come first

__all__ = ["torchvision"]
