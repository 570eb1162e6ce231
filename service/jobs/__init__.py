"""Jobs: requests whose answer is not waited for. They outlive their caller, and every process here.

submit ──> queued ──> running ──┬──> succeeded
^           │      ├──> failed       with its problem, and with what was found until then
│        its worker └──> cancelled   the same
│           died
└── interrupted

request.py   what was asked, as it is kept
records.py   jobs as callers see them: submit, look, follow, cancel, remove
queue.py     who does which job
attempt.py   one worker's go at a job: what it saves, and that nobody else writes meanwhile
runner.py    does a job: asks the engine, image by image
process.py   the process that does jobs
keeper.py    signs of life, takeover, and the end of what is over
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
STATES: tuple[str, ...] = get_args(State)
#: States that nothing leaves any more.
OVER: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Holders(NamedTuple):
    """By which names a job holds its artifacts.

    request  what was asked, and the dataset that it is about: until the job is over
    work     states and entries that its rows refer to
    parts    what entries refer to
    """

    request: str
    work: str
    parts: str

    @staticmethod
    def of(job: str) -> Holders:
        return Holders(f"job:{job}:request", f"job:{job}:work", f"job:{job}:parts")
