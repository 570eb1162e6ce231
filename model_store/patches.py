"""Makes the bank of patches that the defence `quilting` sews images of: `python -m model_store.patches`.

In colour they are of the two photographs that scikit-learn carries (china.jpg and flower.jpg, danielbuechele, CC BY
2.0); in grey one half is of those and one half of the digits that networks learn from. None is of an image that a test
or a table here is about: a patch of the attacked image itself would undo any attack.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rakinglight.defenses.quilting import BANK, SIDE

Array = np.ndarray[Any, Any]

COUNT = 10_000


def bank() -> dict[str, Array]:
    """uint8 [COUNT, SIDE, SIDE, C] by kind: `colour` with three channels, `grey` with one."""
    from sklearn.datasets import load_sample_images

    from model_store.digits import pictures

    draw = np.random.default_rng(0)
    photographs = list(load_sample_images().images)
    grey = [np.rint(photograph @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None] for photograph in photographs]
    digits = list(pictures("train")[0].transpose(0, 2, 3, 1))
    return {
        "colour": _drawn(photographs, COUNT, draw),
        "grey": np.concatenate([_drawn(grey, COUNT // 2, draw), _drawn(digits, COUNT // 2, draw)]),
    }


def _drawn(images: list[Array], count: int, draw: np.random.Generator) -> Array:
    """Patches from random places of random images [H, W, C]."""
    patches = []
    for which in draw.integers(0, len(images), count):
        image = images[which]
        top, left = (draw.integers(0, side - SIDE + 1) for side in image.shape[:2])
        patches.append(image[top : top + SIDE, left : left + SIDE])
    return np.stack(patches)


if __name__ == "__main__":
    np.savez_compressed(BANK, allow_pickle=False, **bank())
