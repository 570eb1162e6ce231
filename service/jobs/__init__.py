"""Jobs: requests whose answer is not waited for. They outlive their caller, and every process here.

    submit ──> queued ──┬──> running ──┬──> succeeded
                        │     │   ^    ├──> failed      with its problem, and with what was found until then
                        │     v   │    └──> cancelled   the same
                        │  interrupted                  its worker died or was stopped; it is taken up again
                        └──> cancelled                  before anybody had taken it up

request.py   what was asked, as it is kept
records.py   jobs as callers see them: submit, look, follow, cancel, remove
queue.py     who does which job
attempt.py   one worker's go at a job: what it saves, and that nobody else writes meanwhile
runner.py    does a job: asks the engine, image by image
patience.py  waits for what is away
process.py   the process that does jobs
child.py     that process beside the gateway, kept running
keeper.py    signs of life, takeover, and the end of what is over
"""

from __future__ import annotations

from typing import NamedTuple


class Holders(NamedTuple):
    """By which names a job holds its artifacts.

    request  what was asked, and the dataset that it is about: until the job is over
    states   from which its runs go on: until there are newer ones
    results  entries, and what is spilled out of them
    """

    request: str
    states: str
    results: str

    @staticmethod
    def of(job: str) -> Holders:
        return Holders(f"job:{job}:request", f"job:{job}:states", f"job:{job}:results")
