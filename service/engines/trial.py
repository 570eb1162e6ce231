"""Whether a worker answers: a model is asked one tiny question, past the gate, and the answer has to come.

A snapshot would not show it: that is answered beside the engine's thread, which may be stuck. A question is answered
on it, between the passes of those who are aboard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing

import numpy as np

from rakinglight.card import Card
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines.boarding import Transport, WorkerLost

log = logging.getLogger("rakinglight.engine")

#: Seconds between two questions to a worker that is up.
EVERY_S = 5.0
#: Seconds after which a worker that has not answered is taken for stuck: a pass takes 0.15 s, on a slow machine more.
STUCK_S = 30.0


class Stuck(Exception):
    """The worker's host is alive and its engine answers nobody."""


async def ask_each(transport: Transport, cards: Iterable[Card]) -> None:
    """Have each of the models answer. Raises Stuck, and WorkerLost where the worker does not or cannot answer."""
    for card in cards:
        channels, height, width = card.input_shape
        blank = np.zeros((height, width, channels), np.uint8)
        question = Question("classify", card.name, blank, seconds=STUCK_S, caller="trial")
        try:
            async with asyncio.timeout(STUCK_S):
                await _answered(transport, question)
        except TimeoutError:
            raise Stuck(f"{card.name} has not answered a blank image for {STUCK_S:g} s") from None


def smallest(cards: Iterable[Card]) -> list[Card]:
    """The one whose images have the fewest values: who is asked again and again."""
    return [min(cards, key=lambda card: np.prod(card.input_shape))]


async def _answered(transport: Transport, question: Question) -> None:
    request = Frame("request", question.to_body())
    async with aclosing(transport.stream(bytes(request))) as frames:
        async for frame in frames:
            if frame.kind == "problem":  # of this model alone; the others are served
                log.warning("%s has a problem with a blank image: %s", question.model, frame.body.get("detail"))
            if frame.terminal:
                return
    raise WorkerLost("the trial was not answered", aboard=False)
