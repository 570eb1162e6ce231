"""Noticing: each key's questions go by a detector of copyists, in the transaction that charges them.

What the detector remembers is a row of `watches`, read and written under the key's lock: so every question is seen once
and in one order, whichever process answers it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from rakinglight.card import Card
from rakinglight.geometry import Geometry
from rakinglight.noticing import Detector, Notice
from service.ask import Array
from service.database import Database
from service.database.schema import watches

#: Bytes of a key's salt, by which no stranger knows where in the images its detector looks.
SALT_BYTES = 16


def seen(pixels: Array, card: Card) -> Array:
    """`pixels`, uint8 [H, W, C] or float32 [C, H, W] in [0, 1], as the model sees them: float32 [C, h, w] in [0, 1]."""
    height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
    geometry = Geometry.of(height, width, card.input_shape, card.resize)
    if geometry.identity and pixels.dtype != np.uint8:
        return pixels
    return np.ascontiguousarray(geometry.picture(pixels).transpose(2, 0, 1), np.float32) / np.float32(255)


def watch(
    database: Database, connection: sa.Connection, key: str, images: Sequence[Array], labels: Sequence[int]
) -> tuple[Notice, bool]:
    """Show `key`'s detector its newest questions, float32 [C, h, w] each, and what they were answered.

    Returns what it thinks of the key now, and whether that is an alarm which it did not give before.
    """
    # The upsert locks the row: of a key that the database does not have, there is nothing else to lock.
    database.upsert(connection, watches, {"key": key, "state": None}, {"key": key})
    state = connection.execute(sa.select(watches.c.state).where(watches.c.key == key)).scalar_one()
    detector = Detector(state, salt=b"" if state else os.urandom(SALT_BYTES))
    before = detector.notice.alarm
    for image, label in zip(images, labels, strict=True):
        detector.see(image, label)
    connection.execute(sa.update(watches).where(watches.c.key == key).values(state=detector.state))
    return detector.notice, detector.notice.alarm and not before
