"""The images on a plane, those near each other that are alike for a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Compute, State
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import feature_layer
from rakinglight.units.features import check_least, features
from rakinglight.units.parameters import Averaged, FeatureLayer, Perplexity

if TYPE_CHECKING:
    from torch import Tensor

#: The least images that have neighbourhoods at all, and below how many the reply says how few they are.
LEAST, FEW = 4, 100
#: Neighbours that `trustworthiness` counts.
NEAR = 5


def embedding(
    subjects: Sequence[Subject],
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    layer: FeatureLayer = None,
    perplexity: Perplexity = None,
    averaged: Averaged = False,
) -> Algorithm[Found]:
    """Lay the images out on a plane, those near each other that are alike for a layer: t-SNE of its features.

    van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008, by scikit-learn, from the two first
    principal components. Neighbours mean something there; distances between groups, and the size of one, do not.

    state  from which to go on, as its Progress had it
    Returns of each image `coordinates`, its x and y. Of all, the `divergence` that is left, and the `trustworthiness`:
    how far those near each other on the plane are so in the features, 1 where all are (Venna and Kaski 2001).
    Raises BadParameter for fewer than four images, and for a perplexity that they are too few for.
    """
    layer, n = feature_layer(card, layer), len(subjects)
    check_perplexity(perplexity, n)
    f = yield from features(subjects, card, layer, state or {}, averaged=averaged, least=LEAST)
    chosen = min(30.0, (n - 1) / 3) if perplexity is None else perplexity
    found = yield Compute(lambda: _plane(f, chosen, noise.seed), stoppable=True)
    summary: dict[str, Any] = {
        "layer": layer,
        "images": n,
        "features": f.shape[1],
        "perplexity": chosen,
        "divergence": found["divergence"],
        "trustworthiness": found["trustworthiness"],
    }
    if n < FEW:
        said = f"{n} images are few: with another seed or perplexity they may lie otherwise. Send hundreds."
        summary["note"] = said
    return Found(summary, [{"coordinates": place} for place in found["places"]])


def check_perplexity(perplexity: float | None, images: int) -> None:
    """Raise BadParameter for too few images, and for a perplexity that they are too few for."""
    check_least(images, LEAST)
    if perplexity is not None and perplexity >= images:
        detail = f"perplexity is {perplexity:g}, and there are {images} images: it has to be below {images}, "
        raise BadParameter.at("/parameters/perplexity", f"{detail}and a third is wise.")


def _plane(f: Tensor, perplexity: float, seed: int) -> dict[str, Any]:
    from sklearn.manifold import TSNE, trustworthiness
    from threadpoolctl import threadpool_limits

    x = f.double().numpy()
    # Where there are no two components, as of images that are all alike, it begins at noise.
    start = "pca" if min(x.shape) >= 2 and x.var(0).sum() > 0 else "random"
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed % 2**32)
    with threadpool_limits(1):  # with more threads its sums have another order, and the plane other bits
        places = tsne.fit_transform(x)
    near = min(NEAR, (len(x) - 1) // 2)
    return {
        "places": places.astype(float).tolist(),
        "divergence": float(tsne.kl_divergence_),
        "trustworthiness": float(trustworthiness(x, places, n_neighbors=near)),
    }
