"""Learns what representations keep beside them: `python -m model_store.representations [words] [dictionary]`.

`words` are the visual words of `bag_of_words`, `dictionary` the pairs by which HOG is inverted. Both are of photographs
that scikit-image and scikit-learn carry, and none is of JUDGED, by which tests and tables tell how good they are: a
dictionary that has seen the photograph may have kept it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rakinglight.representations.assets import path_of
from rakinglight.representations.dictionary import HOG, SIDE, windows
from rakinglight.representations.dsift import DenseSift

Array = np.ndarray[Any, Any]

#: What scikit-image carries and this learns from: of grey stones, grass and coins, a man with a camera, motorcycles.
LEARNT_FROM = ("camera", "coins", "brick", "grass", "gravel", "motorcycle_left")
#: And what it does not learn from.
JUDGED = ("astronaut", "chelsea", "coffee", "rocket")
#: Shorter sides that each is seen at: as a model sees it, and nearer.
SHORTER_SIDES = (224, 320, 427)
SEED = 0
#: Visual words, and descriptors that they are the means of.
WORDS, DESCRIPTORS = 256, 40_000
#: Pairs, windows that they are learnt of, and what an alpha costs.
PAIRS, WINDOWS, SPARSITY = 256, 20_000, 0.15
#: Windows whose pixels spread less have no slope that counts.
FLAT = 0.02


def photographs() -> Iterator[Array]:
    """Float32 [H, W] in [0, 1]: the luminance of each, at each size, and each in a mirror."""
    import skimage.data
    from PIL import Image
    from sklearn.datasets import load_sample_images

    carried = [getattr(skimage.data, name) for name in LEARNT_FROM if name != "motorcycle_left"]
    images = [*load_sample_images().images, *(load() for load in carried), skimage.data.stereo_motorcycle()[0]]  # type: ignore[no-untyped-call]
    for image in images:
        whole = Image.fromarray(image).convert("L")
        for side in SHORTER_SIDES:
            scale = side / min(whole.size)
            sized = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.LANCZOS)
            seen = np.asarray(sized, np.float32) / 255
            yield from (seen, np.ascontiguousarray(seen[:, ::-1]))


def words() -> dict[str, Array]:
    """`words`, float32 [WORDS, 128]: the means of k-means of dense SIFT descriptors."""
    import torch
    from sklearn.cluster import MiniBatchKMeans

    draw = np.random.default_rng(SEED)
    found = [DenseSift().descriptors(torch.from_numpy(image)[None]).flatten(1).T.numpy() for image in photographs()]
    descriptors = _some(np.concatenate(found), DESCRIPTORS, draw)
    means = MiniBatchKMeans(WORDS, batch_size=4096, n_init=1, random_state=SEED).fit(descriptors).cluster_centers_
    return {"words": means.astype(np.float32)}


def dictionary() -> dict[str, Array]:
    """`hog` [n, 144] and `pixels` [n, SIDE^2], float16: n pairs, of at most PAIRS; the HOG half has length 1.

    Windows of HOG beside their pixels, less their mean and over their spread, both halves of equal weight, coded by the
    same few alpha: min |[phi, x] - alpha D|^2 / 2 + SPARSITY |alpha|_1 by D and alpha (Vondrick et al.
    2013), by the online learning of Mairal et al., "Online Learning for Matrix Factorization and Sparse Coding",
    JMLR 2010, as scikit-learn has it.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    both = [_pairs(image) for image in photographs()]
    draw = np.random.default_rng(SEED)
    seen = _some(np.concatenate(both), WINDOWS, draw)
    learner = MiniBatchDictionaryLearning(
        PAIRS, alpha=SPARSITY, max_iter=1, batch_size=512, fit_algorithm="cd", random_state=SEED
    )
    D = learner.fit(seen).components_
    d = D.shape[1] - SIDE**2
    length = np.linalg.norm(D[:, :d], axis=1, keepdims=True)
    D = (D / np.maximum(length, 1e-9))[length[:, 0] > 0.01]  # what has no HOG is never taken
    # How strong the slopes are HOG does not say, so that the pixels' unit is any.
    return {"hog": D[:, :d].astype(np.float16), "pixels": D[:, d:].astype(np.float16)}


def _pairs(image: Array) -> Array:
    """Windows of HOG beside their pixels, [n, 144 + SIDE^2], each half of length 1 or about 1."""
    import torch

    x = torch.from_numpy(image)[None]
    shape = (1, *image.shape)
    phi = windows(HOG.code(x), shape)
    step = HOG.pixels_per_cell[0]
    pixels = x[0].unfold(0, SIDE, step).unfold(1, SIDE, step)[: len(phi), : phi.shape[1]].flatten(2)
    pixels = pixels - pixels.mean(2, keepdim=True)
    spread = pixels.square().mean(2).sqrt()
    there = spread > FLAT
    pixels = pixels[there] / (spread[there][:, None] * SIDE)
    # A block of HOG has length 1, so a window of four has 2.
    pairs: Array = torch.cat([phi[there] / 2, pixels], 1).numpy()
    return pairs


def _some(rows: Array, count: int, draw: np.random.Generator) -> Array:
    return rows[draw.permutation(len(rows))[:count]].astype(np.float32)


LEARNT: Mapping[str, Callable[[], dict[str, Array]]] = {"words": words, "dictionary": dictionary}


def main(names: Sequence[str]) -> None:
    """Learn what is named, or all, and write it with its digest beside it."""
    from safetensors.numpy import save_file

    for name in names or LEARNT:
        path = path_of(name)
        save_file(LEARNT[name](), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
