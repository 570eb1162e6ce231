"""Is this key stealing the model? One number, from what it has asked so far, in bounded memory.

Two things betray an attacker who has labels alone, and neither depends on the network or on its training images:

    steps    Who explores around what he has asked (Papernot et al. 2017) sends an earlier picture plus a step of one
             size in every pixel, the sign of a gradient. The difference of two photographs is never like that, and
             that of one photograph and its JPEG, copy, crop or brighter version has a few large values and many small
             ones: its kurtosis is 3 and more, that of a step of one size is 1.
    borders  Who walks along the border of a class (boundary attack, HopSkipJump) sends many near copies of one picture,
             of which every other one has another label. Where others send many copies, as a camera that stands still,
             most keep theirs. A copy or two say nothing: a JPEG alone may change what a network is unsure of.

Each query is a bet for either (Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", 2023): evidence grows by p1 / p0 where the sign is there, shrinks by (1 - p1) / (1 - p0) where it is not,
and never falls below one. If each query of a benign client is a step with probability at most p0, given all before it,
and if each that lies among copies crosses a border with probability at most its p0, then it takes at least 1 / ALPHA
queries on average until the first false alarm of either kind.

For that, every query counts: a repetition is one without a step, and so is a near copy, unless it is a step from yet
another picture, as those of gradient estimates (NES) are. Were they passed over, who repeats himself and takes a step
in a hundredth of his queries would alarm. A thief can so dilute his steps with repetitions; but each is charged as any
other query, and any other images would do as well.
"""

from __future__ import annotations

import math
import struct
from typing import Any
from zlib import crc32

import numpy as np

from rakinglight.noticing.notice import Notice
from rakinglight.noticing.sketch import PIXELS, SQUARES, below, size, sketch

Array = np.ndarray[Any, Any]

#: Pictures that are kept: the last ones, for who goes on from what he has just asked, and of all before them an even
#: sample, for who comes back to what he asked long ago.
RECENT, SAMPLE = 64, 192
KEPT = RECENT + SAMPLE
#: How many of them, the most alike, a query is compared with.
ALIKE = 8

#: Two pictures are versions of one where a line through their pixels explains so much of one's variance,
VERSION = 0.5
#: and copies where it explains so much. Borders are looked for where all ALIKE are copies.
COPY = 0.9
#: What the line leaves over is more than rounding from here on, in grey levels, root mean square.
ROUNDING = 2.0
#: Their difference is a step where neighbours differ, which is this part of its mean square at least,
ROUGH = 0.15
#: and where its values have nearly one size, up to a kurtosis about 0 of so much: 1 is that of signs, 1.8 that of
#: uniform noise and of rounding to few levels, 3 that of normal noise. Black and white cut a step off, so only the
#: pixels that are neither count, and there must be so many.
FLAT, OPEN = 1.6, 32

#: How often a sign is there: with a benign client at most, and with an attacker that is worth noticing.
STEPS = (0.01, 0.2)
BORDERS = (0.25, 0.5)
#: One over the queries that a benign client sends on average until it alarms. Half of it is for either kind.
ALPHA = 1e-6
LIMIT = math.log(2 / ALPHA)
#: Evidence stops to grow here, in units of what alarms: after an attack the alarm ends once so much has been unlearnt.
CEILING = 2.0

_MAGIC = b"RLN1"
#: salt, queries, alarm, the two logarithms of evidence, pictures that have left the recent ones
_HEAD = struct.Struct("<16sQ?ddQ")
#: A kept picture: which query it was (from 1; 0 is an empty place), the number of its shape, its label, its pixels.
_KEPT = np.dtype([("query", "<u8"), ("size", "<u4"), ("label", "<i4"), ("pixels", "u1", PIXELS)])


class Detector:
    """Watches one key.

    state  what `state` gave after an earlier query; None begins anew, and so does one that is damaged or of another
           version, since to lose what was seen is better than to refuse service
    salt   of a new detector: which pixels it looks at. Who knows them can spoil them, so a service gives each key
           16 random bytes, which are in the state from then on; without, two detectors see the same.
    """

    def __init__(self, state: bytes | None = None, salt: bytes = b"") -> None:
        self._salt = salt[:16].ljust(16, b"\0")
        self._queries = self._left = 0
        self._alarm = False
        self._evidence = [0.0, 0.0]
        self._kept = np.zeros(KEPT, _KEPT)
        if state is not None:
            self._read(state)

    @property
    def notice(self) -> Notice:
        """What is thought of the key now. A score goes up to CEILING, and an alarm lasts until it is back at 0."""
        return Notice(max(self._evidence) / LIMIT, self._alarm, self._queries)

    @property
    def state(self) -> bytes:
        """All it knows, in at most 69,689 bytes: KEPT pictures of PIXELS bytes, and a few numbers."""
        head = _HEAD.pack(self._salt, self._queries, self._alarm, *self._evidence, self._left)
        told = head + self._kept[self._kept["query"] > 0].tobytes()
        return _MAGIC + crc32(told).to_bytes(4, "little") + told

    def _read(self, state: bytes) -> None:
        told = state[8:]
        if state[:4] != _MAGIC or crc32(told).to_bytes(4, "little") != state[4:8]:
            return
        self._salt, self._queries, self._alarm, *self._evidence, self._left = _HEAD.unpack_from(told)
        kept = np.frombuffer(told, _KEPT, offset=_HEAD.size)
        self._kept[: len(kept)] = kept

    def see(self, x: Array, label: int) -> Notice:
        """Take note of a query.

        x      float32 [C, H, W] in [0, 1], as the network saw it
        label  that it was told
        """
        self._queries += 1
        pixels, shape = sketch(x, self._salt), size(x, self._salt)
        there = self._kept[(self._kept["query"] > 0) & (self._kept["size"] == shape)]
        repeated = bool(((there["pixels"] == pixels).all(1) & (there["label"] == label)).any())
        step, border = _signs(there, pixels, label)
        for i, (sign, (p0, p1)) in enumerate(((step, STEPS), (border, BORDERS))):
            if sign is not None:
                bet = p1 / p0 if sign and not repeated else (1 - p1) / (1 - p0)
                self._evidence[i] = min(max(self._evidence[i] + math.log(bet), 0.0), CEILING * LIMIT)
        score = max(self._evidence)
        self._alarm = score >= LIMIT or (self._alarm and score > 0)
        if not repeated:  # else one picture would drive out what else was asked
            self._keep(pixels, shape, label)
        return self.notice

    def _keep(self, pixels: Array, shape: int, label: int) -> None:
        """In the place of the oldest recent one, which goes into the sample with the probability that keeps it even."""
        oldest = int(self._kept["query"][:RECENT].argmin())
        if self._kept["query"][oldest]:
            place = self._left if self._left < SAMPLE else below(self._left + 1, self._left, self._salt)
            self._left += 1
            if place < SAMPLE:
                self._kept[RECENT + place] = self._kept[oldest]
        self._kept[oldest] = (self._queries, shape, label, pixels)


def _signs(there: Array, pixels: Array, label: int) -> tuple[bool, bool | None]:
    """Whether a query is a step from one of the pictures `there`, and over a border; None where it is not among copies.

    The line x = a y + b through the pixels of the query x and of an earlier y takes away what is brighter or has less
    contrast; what is cut off at black and white goes into it too.
    """
    x = pixels.astype(np.float32)
    x -= x.mean()
    Y = there["pixels"].astype(np.float32)
    Y -= Y.mean(1, keepdims=True)
    common, own, variance = Y @ x, np.einsum("ij,ij->i", Y, Y), float(x @ x)
    if not len(Y) or variance == 0:
        return False, None
    explained = np.where((common > 0) & (own > 0), common**2 / np.maximum(own * variance, 1e-9), 0)
    alike = np.argsort(-explained, kind="stable")[:ALIKE]
    alike = alike[explained[alike] >= VERSION]
    if not len(alike):
        return False, None

    rest = x - (common[alike] / own[alike])[:, None] * Y[alike]
    rounding = (rest**2).mean(1) < ROUNDING**2
    difference = pixels.astype(np.float32) - there["pixels"][alike]
    step = bool((~rounding & _rough(difference) & _flat(difference, (pixels > 0) & (pixels < 255))).any())
    among_copies = len(alike) == ALIKE and explained[alike[-1]] >= COPY
    border = bool(there["label"][alike[0]] != label) if among_copies else None
    return step, border


def _rough(d: Array) -> Array:
    """Whether the neighbours in d [n, PIXELS] differ, bool [n]."""
    rough: Array = d.reshape(-1, SQUARES, 4).var(2).mean(1) >= ROUGH * (d**2).mean(1)
    return rough


def _flat(d: Array, free: Array) -> Array:
    """Whether d [n, PIXELS] has nearly one size where pixels are `free` [PIXELS], bool [n]."""
    square = d[:, free] ** 2
    if square.shape[1] < OPEN:
        return np.zeros(len(d), bool)
    flat: Array = (square**2).mean(1) <= FLAT * square.mean(1) ** 2
    return flat
