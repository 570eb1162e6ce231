"""Images for the page: what is made of some on the substitute, and what the model and the substitute say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import eight_bit, in_process, pictures
from rakinglight.archives import read_card
from rakinglight.client import Client
from rakinglight.errors import RakinglightError
from rakinglight.images import decode
from rakinglight.reports.theft import Sample
from rakinglight.results import Attack, is_reference

if TYPE_CHECKING:
    from rakinglight.cli_images import Given

#: Images that the report shows, and of which pictures are made at most, to have one among them that fools the model.
SAMPLES, SAMPLED = 6, 12


def samples(
    client: Client, model: str, taken: Sequence[Given], whole: Mapping[str, Any], seed: int = 0
) -> tuple[list[Sample], int]:
    """What FGSM makes on the substitute of held-out images, one of a class, and what both say of it.

    Where none of these fools the model, one that does is looked for among as many more, and stands last. The model is
    asked about a few pictures more than the attack counts; how many comes along. None where it answers no more.

    whole  the reply of `substitute`
    """
    summary = whole["summary"]
    archive, rights = summary.get("archive"), _right(taken, whole["results"], seed)
    if archive is None or is_reference(archive) or not rights:
        return [], 0
    epsilon = min(whole["parameters"]["epsilons"])
    with TemporaryDirectory() as home:
        path = Path(home, "archives", f"{model}-substitute.mar")
        path.parent.mkdir()
        path.write_bytes(bytes(archive))
        path = path.rename(path.with_stem(read_card(path).name))
        with in_process.local(home) as thief:
            asked = [taken[i].image for i in rights]
            made = thief.model(path.stem).attack(asked, "fgsm", epsilon=epsilon)
            found: list[tuple[Sample, bool]] = []
            while len(found) < len(made) and not any(fooled for _, fooled in found):
                part = slice(len(found), len(found) + SAMPLES)
                try:
                    after = client.model(model).classify([one.adversarial_png for one in made[part]], top_k=1)
                except RakinglightError:
                    break
                for i, one, image, said in zip(rights[part], made[part], asked[part], after, strict=True):
                    before, now = str(whole["results"][i]["prediction"]["label"]), said.prediction.label
                    found.append((_sample(one, image, before, now), before != now))
    chosen = [sample for sample, _ in found[:SAMPLES]]
    if late := [sample for sample, fooled in found[SAMPLES:] if fooled]:
        chosen[-1] = late[0]
    return chosen, len(found)


def _right(taken: Sequence[Given], results: Sequence[Mapping[str, Any]], seed: int) -> list[int]:
    """Held-out images that the model had right, by place, drawn by `seed`: one of each class, then a second of each.

    All count as right where their class is not known.
    """
    by_class: dict[int, list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(taken)):
        i, said = int(place), results[place]["prediction"]
        if not results[i]["seed"] and taken[i].label in (None, said["index"], said["label"]):
            by_class.setdefault(said["index"], []).append(i)
    rounds = zip_longest(*by_class.values())
    return [i for each in rounds for i in each if i is not None][:SAMPLED]


def _sample(made: Attack, image: Any, before: str, after: str) -> Sample:
    """A picture that was made on the substitute, beside the image.

    before, after  what the model says of the two
    """
    clean, changed = _pixels(image), np.asarray(made.adversarial)
    clean = clean[..., None] if clean.ndim == 2 else clean
    changed = changed[..., None] if changed.ndim == 2 else changed
    change, factor = pictures.amplified(clean, changed)
    small = min(clean.shape[:2]) < pictures.READABLE // 2
    drawn = [pictures.to_png(pictures.from_pixels(pixels)) for pixels in (clean, changed)]
    substitute = made.before.label, made.after.label
    return Sample(drawn[0], drawn[1], pictures.to_png(change), factor, (before, after), substitute, small)


def _pixels(image: Any) -> Any:
    """uint8 [H, W, C] of an image in any of its forms."""
    if isinstance(image, bytes):
        return decode(image)
    return image if image.dtype == np.uint8 else eight_bit.from_float(image)
