"""Models elsewhere, as the operator declared them: each is asked by a child of its own, beside the engine.

    question ──> whose model? ──> the engine's
                      └──> a target's child ──> HTTP

A child that waits for an answer from elsewhere holds up nobody but those who ask the same target.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rakinglight.archives import TARGET
from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.oracles.target import environment_of
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines import Engine, EngineState
from service.engines.boarding import Boarding, Limits, probe
from service.engines.local import LocalEngine


def target_files(paths: Iterable[Path]) -> list[Path]:
    """The target files among `paths`, and in those that are folders. Raises ValueError for one that is not there."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"targets names {str(path)!r}, which is not there.")
        found += sorted(path.glob(f"*{TARGET}")) if path.is_dir() else [path]
    if wrong := [path for path in found if path.suffix != TARGET]:
        raise ValueError(f"targets names {str(wrong[0])!r}; the name of a target file ends in {TARGET}.")
    return found


#: Seconds that a target's child may take beyond the caller's time: for an answer that is on its way. Who hangs is not
#: waited for.
GRACE_S = 2.0


class TargetEngine(LocalEngine):
    """The child that asks one target."""

    def __init__(self, archives: Sequence[Path], *, home: Path, limits: Limits | None = None) -> None:
        super().__init__(archives, home=home, limits=limits)
        self.boarding = Boarding(self, limits or Limits(), grace_s=GRACE_S)

    async def _try(self, cards: Sequence[Card]) -> None:
        await probe(self)  # a question would be sent on, and paid for

    def _environment(self) -> dict[str, str]:
        """The secrets that its own file names, and no others."""
        names = environment_of(self.archives[0])
        return super()._environment() | {name: os.environ[name] for name in names if name in os.environ}


class WithTargets:
    """An engine that knows the models of `engine`, and those elsewhere that `files` declare.

    Raises ValueError where two have the same name, or a file declares no model.
    """

    def __init__(self, engine: Engine, files: Sequence[Path], *, home: Path, limits: Limits) -> None:
        self.engine = engine
        self.targets: dict[str, TargetEngine] = {}
        self.models: dict[str, Card] = dict(engine.models)
        for file in files:
            try:
                target = TargetEngine([file], home=home, limits=limits)
            except BadParameter as e:
                raise ValueError(e.detail) from None
            (name,) = target.models
            if name in self.models:
                raise ValueError(f"{file} declares {name!r}, and there is a model of that name; give it another.")
            self.models |= target.models
            self.targets[name] = target

    def __repr__(self) -> str:
        return f"<WithTargets: {self.engine!r}, and {', '.join(self.targets)} elsewhere>"

    @property
    def state(self) -> EngineState:
        """The engine's, with the counts of all. A target that is away is told to who asks it."""
        own, others = self.engine.state, [target.state for target in self.targets.values()]
        counts = ("workers", "restarts", "retries", "waiting", "running")
        sums = {name: sum(getattr(state, name) for state in (own, *others)) for name in counts}
        return EngineState(own.ready, own.reason, **sums)

    async def start(self) -> None:
        """As `Engine.start`."""
        await asyncio.gather(self.engine.start(), *(target.start() for target in self.targets.values()))

    async def stop(self) -> None:
        """As `Engine.stop`."""
        await asyncio.gather(self.engine.stop(), *(target.stop() for target in self.targets.values()))

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`. Raises BadParameter where a run would need models of several children."""
        engine: Engine = self.targets.get(question.model, self.engine)
        for pointer, names in _named(question.parameters):
            for name in names:
                if name in self.targets or (engine is not self.engine and name in self.models):
                    raise BadParameter.at(
                        pointer,
                        f"{name} and {question.model} cannot share a run: what is asked elsewhere is asked alone.",
                    )
        async with aclosing(engine.ask(question, request_id=request_id)) as frames:
            async for frame in frames:
                yield frame

    async def snapshot(self) -> dict[str, Any]:
        """The engine's counters, and who answers for each network."""
        own, *others = await asyncio.gather(
            self.engine.snapshot(), *(target.snapshot() for target in self.targets.values())
        )
        if own:
            own["networks"] = own["networks"] | {k: v for other in others for k, v in other.get("networks", {}).items()}
        return own


def _named(parameters: Mapping[str, Any]) -> list[tuple[str, Sequence[str]]]:
    """Where other models are named -> their names."""
    found = [("/parameters/models", parameters.get("models") or ())]
    for i, method in enumerate(parameters.get("methods") or ()):
        found.append((f"/parameters/methods/{i}/parameters/models", method["parameters"].get("models") or ()))
    return found
