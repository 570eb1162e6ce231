"""What was learnt once and is kept beside the code: `python -m model_store.representations` makes it anew."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

HOME = Path(__file__).parent


def path_of(name: str) -> Path:
    """Where the weights of this name are; beside them, with `.sha256` behind, is their digest."""
    return HOME / f"{name}.safetensors"


@cache
def weights(name: str) -> Mapping[str, Tensor]:
    """Tensors by name, in float32. Whoever takes them changes nothing in them: they are read once."""
    from safetensors.torch import load_file

    return {key: value.float() for key, value in load_file(path_of(name)).items()}
