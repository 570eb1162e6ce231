"""Universal perturbations: made by jobs of `universal`, kept under an id, and by that applied in `attack`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from service.database.schema import perturbations
from service.kept import Kept

Array = np.ndarray[Any, Any]


class Perturbations(Kept):
    """Those in a database."""

    noun, prefix, table = "perturbation", "pert", perturbations
    media_type, member = "application/x-npy", "perturbation"
    said = ("model", "method", "norm", "epsilon", "shape", "given", "held_out", "job")

    def keep(self, owner: str, v: Array, *, job: str, **said: Any) -> str:
        """Keep v, float32 [C, h, w], that `job` has made; its id.

        said  model {"name", "version", "sha256"}, method, norm, epsilon, and the shares of images that it fools
        """
        file = io.BytesIO()
        np.save(file, v, allow_pickle=False)
        return self.put(owner, file.getvalue(), job=job, shape=[*v.shape], **said)

    def read(self, perturbation: str, owner: str | None) -> Array:
        """One itself, float32 [C, h, w]. Raises NotFound, and Expired."""
        return np.asarray(np.load(io.BytesIO(self.content(perturbation, owner)), allow_pickle=False))
