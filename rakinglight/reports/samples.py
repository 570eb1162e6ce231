"""Images for the page: what is made of some on the substitute, and what the model and the substitute say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

#: Images that the report shows.
SAMPLES = 6


def samples(client: Client, model: str, taken: Sequence[Given], whole: Mapping[str, Any]) -> list[Sample]:
    """What FGSM makes on the substitute of the first held-out images, and what both say of it.

    The model is asked about these pictures, a few more than the attack counts. None where it answers no more.

    whole  the reply of `substitute`
    """
    summary = whole["summary"]
    archive, rights = summary.get("archive"), _right(taken, whole["results"])
    if archive is None or is_reference(archive) or not rights:
        return []
    epsilon = min(whole["parameters"]["epsilons"])
    with TemporaryDirectory() as home:
        path = Path(home, "archives", f"{model}-substitute.mar")
        path.parent.mkdir()
        path.write_bytes(bytes(archive))
        path = path.rename(path.with_stem(read_card(path).name))
        with in_process.local(home) as thief:
            asked = [taken[i].image for i in rights]
            made = thief.model(path.stem).attack(asked, "fgsm", epsilon=epsilon)
            try:
                after = client.model(model).classify([one.adversarial_png for one in made], top_k=1)
            except RakinglightError:
                return []
    return [
        _sample(one, image, str(whole["results"][i]["prediction"]["label"]), said.prediction.label)
        for i, one, image, said in zip(rights, made, asked, after, strict=True)
    ]


def _right(taken: Sequence[Given], results: Sequence[Mapping[str, Any]]) -> list[int]:
    """The first held-out images that the model had right, by place; all count where their class is not known."""
    found = []
    for i, (one, result) in enumerate(zip(taken, results, strict=True)):
        said = result["prediction"]
        if not result["seed"] and one.label in (None, said["index"], said["label"]):
            found.append(i)
    return found[:SAMPLES]


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
