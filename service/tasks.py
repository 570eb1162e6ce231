"""Tasks that stand and fall together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rakinglight.errors import RakinglightError


@asynccontextmanager
async def task_group(*also: type[Exception]) -> AsyncGenerator[asyncio.TaskGroup, None]:
    """An `asyncio.TaskGroup` that raises one of its failures by itself: of those raised on purpose the first.

    also  what is raised on purpose, besides every RakinglightError
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        kinds: tuple[type[Exception], ...] = RakinglightError, *also
        raise next((e for e in failures.exceptions if isinstance(e, kinds)), failures.exceptions[0]) from None
