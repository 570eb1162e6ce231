"""Work that is not waited for. At a service it is a job, which outlives its caller; here it is a thread.

    job = model.attack.submit("cat.jpg", "pgd", steps=1000)
    job.id                                  # client.job(id) finds it again, from anywhere
    for news in job.events(): ...           # progress, and the answer as the last
    job.result()                            # or just the answer

`Job` is what both can do, and `AsyncJob` the same with `await`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import httpx2

from rakinglight import reply
from rakinglight.call import DEADLINE_S, Reply
from rakinglight.errors import JobCancelled, RakinglightError, Unavailable, from_problem
from rakinglight.flows import EVENTS, Address, Flow, Hear, News, Patience, segment
from rakinglight.results import OVER, Progress, State, answers

if TYPE_CHECKING:
    from rakinglight.over_http import AsyncHttpTransport, HttpTransport

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

#: Seconds between two looks at a job whose result is waited for: few at first, and never more than the last.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 1.0


class Job(Protocol[R_co]):
    """An operation under way. What it is known to be is as of the last look: each call here looks, `refresh` alone.

    id  by which `client.job` finds it again, where a service keeps it
    """

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> State: ...

    @property
    def progress(self) -> Progress | None:
        """The newest that is known, of any of its images."""
        ...

    def refresh(self) -> Self:
        """Look how far it is. Returns the job itself."""
        ...

    def result(self, timeout: float | None = None, *, fetch: bool = True) -> R_co:
        """The answer, waited for up to `timeout` seconds.

        fetch  whether large arrays and pictures, which the service keeps apart, are fetched too
        Raises what the service raised, JobCancelled, or TimeoutError, after which it goes on.
        """
        ...

    def partial_result(self, *, fetch: bool = True) -> R_co | None:
        """What a job that is over has found, wholly or in part: as `result`, where images without an answer are None.

        Of one that succeeded that is all; of one that failed or was cancelled, what there was by then. None while it is
        under way, and where nothing was found.
        """
        ...

    def events(self, after: int = 0) -> Generator[Progress | R_co, None, None]:
        """Its progress from the beginning, or behind number `after`, as it comes; and the answer as the last.

        What was missed while the connection was cut comes then, and nothing comes twice. Raises as `result` does.
        Leaving the loop leaves the job alone.
        """
        ...

    def cancel(self) -> None:
        """Have it stop, if it is under way. What it has found by then, `partial_result` has."""
        ...

    def delete(self) -> None:
        """Forget it and what it has found. Raises Conflict while it is under way."""
        ...


class KeptJob(Generic[R]):
    """What is known of a job that a service keeps, and the flows by which more is learned.

    members  all that the service says of it, but what came of it
    """

    def __init__(self, address: Address, members: Mapping[str, Any], *, listed: bool) -> None:
        self.members = dict(members)
        self._address = address
        self._listed = listed

    def __repr__(self) -> str:
        p = self.progress if self.state not in OVER else None
        return f"<{type(self).__name__} {self.id}: {self.state}{f', step {p.step} of {p.of}' if p else ''}>"

    @property
    def id(self) -> str:
        return str(self.members["id"])

    @property
    def state(self) -> State:
        state: State = self.members["state"]
        return state

    @property
    def progress(self) -> Progress | None:
        told = self.members["progress"]
        return None if told is None else Progress.read(told)

    @property
    def _path(self) -> str:
        return f"jobs/{segment(self.id)}"

    def _looked(self) -> Flow[Reply | None]:
        """What came of it, if it is over."""
        return self._took((yield from self._address.get(self._path)))

    def _waited(self, timeout: float | None, fetch: bool) -> Flow[R]:
        until = None if timeout is None else time.monotonic() + timeout
        patience, pause = Patience(), FIRST_LOOK_S
        while True:
            left = None if until is None else until - time.monotonic()
            try:
                seconds = DEADLINE_S if left is None else max(1.0, left)
                found = self._took((yield from self._address.get(self._path, retries=0, seconds=seconds)))
            except Unavailable as e:
                wait = patience.after(e)
            else:
                if self.state in OVER:
                    return (yield from self._answer(found, fetch))
                patience, wait = Patience(), pause
                pause = min(1.5 * pause, LONGEST_LOOK_S)
            if left is not None and left <= 0:
                raise TimeoutError(f"{self.id} is {self.state} after {timeout:g} s, and goes on.")
            yield wait if left is None else min(wait, left)

    def _partial(self, fetch: bool) -> Flow[R | None]:
        found = yield from self._looked()
        return None if found is None else (yield from self._read(found, fetch))

    def _followed(self, after: int) -> Flow[None]:
        """Tell its progress behind event number `after`, and its answer. A connection that is cut is made anew."""
        patience, over = Patience(), False
        while not over:
            try:
                yield from self._listening(after)
                while not over and (event := (yield Hear())) is not None:
                    patience = Patience()
                    match event.event:
                        case "progress":
                            after = int(event.id)
                            yield News(self._heard(event.json(), after))
                        case "result":
                            over = True
                        case "problem":
                            raise from_problem(event.json())
            except httpx2.HTTPError as e:
                yield patience.after(self._address.away(e))
            except Unavailable as e:  # which no job ends with: the service cannot say more for the moment
                yield patience.after(e)
            except RakinglightError:
                yield from self._looked()
                if self.state not in OVER:
                    raise
                over = True
            else:
                if not over:
                    yield patience.after(self._address.cut())
        found = yield from self._looked()
        yield News((yield from self._answer(found, fetch=True)))

    def _heard(self, progress: Mapping[str, Any], number: int) -> Progress:
        if self.state not in OVER:  # else it is old news
            self.members |= {"state": "running", "progress": progress}
        return Progress.read(progress, number)

    def _listening(self, after: int) -> Flow[None]:
        headers = {"Last-Event-ID": str(after)}
        request = self._address.request("GET", f"{self._path}/events", accept=EVENTS, headers=headers)
        yield from self._address.listening(request, retries=0)

    def _cancelled(self) -> Flow[None]:
        self._took((yield from self._address.post(f"{self._path}/cancel")))

    def _deleted(self) -> Flow[None]:
        yield from self._address.delete(self._path)

    def _took(self, members: Mapping[str, Any]) -> Reply | None:
        """Note down `members`; the reply among them, if there is one."""
        self.members = dict(members)
        partial = self.members.pop("partial_result", None)
        return self.members.pop("result", partial)  # type: ignore[no-any-return]

    def _answer(self, found: Reply | None, fetch: bool) -> Flow[R]:
        """The answer of a job that is over. Raises where it did not succeed."""
        if self.state == "succeeded" and found is not None:
            return (yield from self._read(found, fetch))
        if self.state == "cancelled":
            left = "before there was anything to show" if found is None else "and its partial result has what it found"
            raise JobCancelled(f"{self.id} was cancelled, {left}.")
        raise from_problem(self.members["problem"])

    def _read(self, found: Reply, fetch: bool) -> Flow[R]:
        found = reply.from_json(found)
        if fetch:
            found = yield from self._address.fetched(found)
        return answered(found, listed=self._listed)  # type: ignore[no-any-return]


class ServiceJob(KeptJob[R]):
    """A `Job` of a service."""

    def __init__(self, transport: HttpTransport, members: Mapping[str, Any], *, listed: bool = True) -> None:
        super().__init__(transport.address, members, listed=listed)
        self._transport = transport

    def refresh(self) -> Self:
        self._transport.run(self._looked())
        return self

    def result(self, timeout: float | None = None, *, fetch: bool = True) -> R:
        return self._transport.run(self._waited(timeout, fetch))

    def partial_result(self, *, fetch: bool = True) -> R | None:
        return self._transport.run(self._partial(fetch))

    def events(self, after: int = 0) -> Generator[Progress | R, None, None]:
        return self._transport.news(self._followed(after))

    def cancel(self) -> None:
        self._transport.run(self._cancelled())

    def delete(self) -> None:
        self._transport.run(self._deleted())


class AsyncJob(KeptJob[R]):
    """`Job`, for asyncio."""

    def __init__(self, transport: AsyncHttpTransport, members: Mapping[str, Any], *, listed: bool = True) -> None:
        super().__init__(transport.address, members, listed=listed)
        self._transport = transport

    async def refresh(self) -> Self:
        await self._transport.run(self._looked())
        return self

    async def result(self, timeout: float | None = None, *, fetch: bool = True) -> R:  # noqa: ASYNC109  as in `Job`
        return await self._transport.run(self._waited(timeout, fetch))

    async def partial_result(self, *, fetch: bool = True) -> R | None:
        return await self._transport.run(self._partial(fetch))

    def events(self, after: int = 0) -> AsyncGenerator[Progress | R, None]:
        return self._transport.news(self._followed(after))

    async def cancel(self) -> None:
        await self._transport.run(self._cancelled())

    async def delete(self) -> None:
        await self._transport.run(self._deleted())


class Stream(Protocol):
    """The news of one call: progress, and the reply as the last. `close` cancels the work."""

    def __iter__(self) -> Iterator[Progress | Reply]: ...

    def close(self) -> None: ...


class LocalJob(Generic[R]):
    """A `Job` of this process, in a thread. It ends with the process, and nobody else finds it.

    stream  whose `close` may come from another thread, in the middle of reading
    """

    def __init__(self, stream: Stream, read: Callable[[Reply], R]) -> None:
        self.id = f"local_{uuid.uuid4().hex}"
        self._stream = stream
        self._read = read
        self._heard: list[Progress] = []
        self._answer: list[R] = []
        self._error: BaseException | None = None
        self._cancelled = False
        self._news = threading.Condition()
        threading.Thread(target=self._run, name="rakinglight-job", daemon=True).start()

    def __repr__(self) -> str:
        p = self.progress if self.state not in OVER else None
        return f"<LocalJob: {self.state}{f', step {p.step} of {p.of}' if p else ''}>"

    @property
    def state(self) -> State:
        if self._answer:
            return "succeeded"
        if self._error is None:
            return "running"
        return "cancelled" if isinstance(self._error, JobCancelled) else "failed"

    @property
    def progress(self) -> Progress | None:
        return self._heard[-1] if self._heard else None

    def refresh(self) -> Self:
        return self

    def result(self, timeout: float | None = None, *, fetch: bool = True) -> R:
        with self._news:
            if not self._news.wait_for(lambda: self.state in OVER, timeout):
                raise TimeoutError(f"{self.id} is running after {timeout:g} s, and goes on.")
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def partial_result(self, *, fetch: bool = True) -> R | None:
        return self._answer[0] if self._answer else None

    def events(self, after: int = 0) -> Generator[Progress | R, None, None]:
        told = after
        while True:
            with self._news:
                while len(self._heard) <= told and self.state not in OVER:
                    self._news.wait()
                unheard = self._heard[told:]
            if not unheard:
                yield self.result()
                return
            yield from unheard
            told += len(unheard)

    def cancel(self) -> None:
        """Give up: the rows are freed before the next pass, and nothing is kept."""
        self._cancelled = True
        self._stream.close()

    def delete(self) -> None:
        """Nothing is kept of it; this is for who does the same at a service."""

    def _run(self) -> None:
        try:
            for news in self._stream:
                with self._news:
                    if isinstance(news, Progress):
                        self._heard.append(replace(news, number=len(self._heard) + 1))
                    else:
                        self._answer.append(self._read(news))
                    self._news.notify_all()
        except BaseException as e:
            self._end(JobCancelled(f"{self.id} was cancelled.") if self._cancelled else e)
        else:
            if not self._answer:
                self._end(JobCancelled(f"{self.id} was cancelled."))

    def _end(self, error: BaseException) -> None:
        with self._news:
            self._error = error
            self._news.notify_all()


def answered(reply: Reply, *, listed: bool) -> Any:
    """The answers in `reply`: a list where a list is wanted, else the only one."""
    several = answers(reply)
    return several if listed else several[0]
