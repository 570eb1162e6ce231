"""A substitute as an archive that the zoo loads and serves (`rakinglight.archives`)."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from rakinglight.archives import CARD, CODE, WEIGHTS
from rakinglight.card import Card
from rakinglight.substitutes.student import MEAN, STD, Student

#: What TorchServe runs; an installation without the repository has none, and then the other engines serve the archive.
HANDLER = Path(__file__).parents[2] / "handlers" / "rakinglight_handler.py"

RECIPE = '''"""A substitute for {of}, taught by what it answered. Its architecture comes from rakinglight."""

from rakinglight.recipe import Recipe
from rakinglight.substitutes.architectures import network

recipes = [
    Recipe(
        name={name!r},
        network=lambda: network({architecture!r}, {shape!r}, {classes!r}, {cell!r}),
        weights="network.safetensors",
        input_shape={shape!r},
        mean={mean!r},
        std={std!r},
        labels=(),  # the card has them
        provenance="",
    )
]
'''


def name_of(of: str) -> str:
    """What the substitute for the model `of` is called."""
    return f"{of[:46].rstrip('-')}-substitute"


def packed(student: Student, of: Card, queries: int) -> bytes:
    """The archive of `student`, a substitute for the model of the card `of`, which was asked `queries` images.

    Nothing in it is a pickle: tensors are safetensors, and the recipe is a few lines that name the architecture. The
    same student gives the same bytes.
    """
    from safetensors.torch import save

    weights = save({key: tensor.contiguous() for key, tensor in student.module.state_dict().items()})
    channels, name = student.shape[0], name_of(of.name)
    mean, std = (MEAN,) * channels, (STD,) * channels
    card = replace(
        of,
        name=name,
        version="1.0",
        mean=mean,
        std=std,
        sha256=sha256(weights).hexdigest(),
        provenance=f"A substitute for {of.name}: a {student.architecture} network that learnt from {queries} answers.",
        layers=_layers(student),
        differentiable=True,
        tells="logits",
        detector=None,
        decoders=(),
    )
    recipe = RECIPE.format(
        of=of.name,
        name=name,
        architecture=student.architecture,
        shape=student.shape,
        classes=student.classes,
        cell=student.cell,
        mean=mean,
        std=std,
    )
    members = {CARD: card.to_json().encode(), WEIGHTS: weights, CODE: recipe.encode()}
    if HANDLER.is_file():
        model = {"modelName": name, "handler": HANDLER.name, "modelVersion": "1.0"}
        manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
        members |= {
            HANDLER.name: HANDLER.read_bytes(),
            "MAR-INF/MANIFEST.json": json.dumps(manifest, indent=2).encode(),
        }
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for member in sorted(members):
            archive.writestr(ZipInfo(member), members[member])  # of 1980: no time goes in
    return file.getvalue()


def _layers(student: Student) -> dict[str, tuple[int, ...]]:
    """Name -> output shape of every part that computes, in order."""
    import torch

    found, x = {}, torch.zeros(1, *student.shape)
    with torch.no_grad():
        x = student.module[0](x)
        for name, part in student.module[1].named_children():
            x = part(x)
            found[f"1.{name}"] = tuple(x.shape[1:])
    return found
