"""An oracle that is down, slow, talks nonsense or changes its mind; and what is asked, counted and remembered."""

import contextlib
import json
import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rakinglight.errors import (
    BadParameter,
    BudgetSpent,
    Conflict,
    Forbidden,
    OracleAway,
    OracleChanged,
    OracleFault,
    RakinglightError,
    RateLimited,
    Unauthenticated,
)
from rakinglight.oracles import UNNAMED, Counts, open_oracle
from tests.rakinglight.oracles.servers import (
    SHAPE,
    Asked,
    Reply,
    Server,
    full_view,
    label_view,
    logits_of,
    ours,
    serving,
)

SECRET = "a-key-that-nobody-must-see"


@pytest.fixture
def server() -> Iterator[Server]:
    """A service of ours, whose keys see labels."""
    with serving(Server(ours(label_view))) as server:
        yield server


@pytest.fixture
def scoring() -> Iterator[Server]:
    """One whose keys see every probability."""
    with serving(Server(ours(full_view))) as server:
        yield server


def rows(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((n, *SHAPE), np.float32)


def opened(server: Server, journal: Path | None = None, **how: Any) -> Any:
    return closing(open_oracle(server.url, "trees", SECRET, journal, **({"canaries": 0.0, "patience": 3.0} | how)))


def as_bytes(asked: Any) -> list[bytes]:
    return [row.tobytes() for row in asked]


# ── what is asked, and counted ──────────────────────────────────────────────────────────────────────────────────────


def test_its_labels_are_the_largest_of_logits_that_say_nothing_else(server: Server) -> None:
    asked = rows(20)
    with opened(server) as oracle:
        assert (oracle.tells, oracle.labels, oracle.input_shape) == ("labels", ("ash", "birch", "cedar", "date"), SHAPE)
        logits = oracle.answer(asked)
    assert (logits.argmax(1) == logits_of(asked).argmax(1)).all()
    assert set(np.unique(logits)) == {0.0, UNNAMED}


def test_no_image_is_asked_twice_in_one_request_or_in_two(server: Server) -> None:
    asked = rows(5)
    with opened(server) as oracle:
        first = oracle.answer(np.concatenate([asked, asked[:2]]))
        again = oracle.answer(asked[::-1])
        assert oracle.counts == Counts(asked=6)  # and a grey one, to see what it tells
    assert (first[:5] == again[::-1]).all()
    assert len(server.images) == len(set(server.images)) == 6


def test_images_go_by_the_sixteen_each_request_with_a_key_of_its_own(server: Server) -> None:
    with opened(server) as oracle:
        oracle.answer(rows(40))
    assert [len(post.body["images"]) for post in server.posts] == [1, 16, 16, 8]
    assert len({post.headers["Idempotency-Key"] for post in server.posts}) == 4
    assert {post.headers["Authorization"] for post in server.posts} == {f"Bearer {SECRET}"}


def test_a_stated_share_is_asked_again_and_counted_apart(server: Server) -> None:
    with opened(server, canaries=0.1) as oracle:
        for i in range(10):
            oracle.answer(rows(20, seed=i))
        assert oracle.counts == Counts(asked=201, canaries=20)
    assert len(server.images) == 221
    assert len(set(server.images)) == 201


def test_a_batch_that_is_too_large_for_it_is_asked_in_halves(server: Server) -> None:
    inner = server.answer

    def picky(server: Server, asked: Asked) -> Reply:
        if asked.body and len(asked.body["images"]) > 5:
            return Reply({"code": "TOO_LARGE", "detail": "5 at most."}, 413)
        return inner(server, asked)

    server.answer = picky
    with opened(server) as oracle:
        assert oracle.answer(rows(20)).shape == (20, 4)
    assert len(server.images) == 21


# ── what it cannot do for the moment ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("trouble", "counts"),
    [
        (Reply({"code": "RATE_LIMITED", "detail": "Slowly."}, 429, {"Retry-After": "1"}), Counts(asked=4, retried=3)),
        (Reply({"code": "OVERLOADED", "detail": "Full."}, 503, {"Retry-After": "0"}), Counts(asked=4, retried=3)),
        (Reply(b"<html>bad gateway</html>", 502), Counts(asked=4, lost=3)),
        (Reply(None), Counts(asked=4, lost=3)),
        (Reply({}, seconds=1.0), Counts(asked=4, lost=3)),
    ],
    ids=["asked too much", "overloaded", "a bad gateway", "a connection that breaks off", "too slow"],
)
def test_what_helps_by_waiting_is_waited_for(server: Server, trouble: Reply, counts: Counts) -> None:
    with opened(server, timeout=0.4) as oracle:
        server.instead = [trouble]
        begun = time.monotonic()
        assert oracle.answer(rows(3)).shape == (3, 4)
        assert oracle.counts == counts
    if "Retry-After" in trouble.headers:
        assert time.monotonic() - begun >= float(trouble.headers["Retry-After"])
    assert len({post.headers["Idempotency-Key"] for post in server.posts[1:]}) == 1
    assert server.posts[1].body == server.posts[2].body


def test_a_spent_budget_is_said_at_once(server: Server) -> None:
    with opened(server) as oracle:
        server.instead = [Reply({"code": "BUDGET_SPENT", "detail": "3 are left, and 4 were sent."}, 429)] * 3
        with pytest.raises(BudgetSpent, match="3 are left, and 4 were sent"):
            oracle.answer(rows(4))
        assert len(server.posts) == 2
        server.instead = []
        assert oracle.answer(rows(3)).shape == (3, 4)


def test_a_key_that_was_stopped_is_told_so_and_does_not_ask_on(server: Server) -> None:
    with opened(server, patience=60.0) as oracle:
        oracle.answer(rows(1))
        before = len(server.posts)
        server.instead = [Reply({"code": "RATE_LIMITED", "detail": "This key was stopped."}, 429)] * 3
        with pytest.raises(RateLimited, match="This key was stopped"):
            oracle.answer(rows(4, seed=1))
        assert len(server.posts) == before + 1


def test_tries_that_may_each_be_charged_are_few(server: Server) -> None:
    with opened(server, patience=60.0) as oracle:
        oracle.answer(rows(1))
        before = len(server.posts)
        server.instead = [Reply({"detail": "broken"}, 500)] * 10
        with pytest.raises(OracleAway, match="3 tries"):
            oracle.answer(rows(4, seed=1))
        assert len(server.posts) == before + 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"code": [], "detail": {"a": 1}}, 400),
        Reply({"code": {}, "detail": 3}, 429, {"Retry-After": "0"}),
        Reply([1, 2], 403),
        Reply({"results": 1}, 200, {"X-Query-Budget-Remaining": "9" * 5000}),
    ],
)
def test_members_of_any_kind_are_no_fault_of_ours(server: Server, reply: Reply) -> None:
    with opened(server, patience=1.0) as oracle:
        oracle.answer(rows(1))
        server.instead = [reply] * 20
        with pytest.raises(RakinglightError) as raised:
            oracle.answer(rows(4, seed=1))
        assert raised.value.code != "INTERNAL"


def test_what_a_terminal_would_obey_is_not_quoted(server: Server) -> None:
    with opened(server) as oracle:
        oracle.answer(rows(1))
        server.instead = [Reply({"code": "FORBIDDEN", "detail": "\x1b]0;owned\x07 no"}, 403)]
        with pytest.raises(Forbidden) as raised:
            oracle.answer(rows(4, seed=1))
        assert "no" in raised.value.detail
        assert not any(ord(character) < 32 for character in raised.value.detail)


def test_longer_than_it_is_worth_is_not_waited(server: Server) -> None:
    with opened(server, patience=2.0) as oracle:
        server.instead = [Reply({"code": "RATE_LIMITED", "detail": "Tomorrow."}, 429, {"Retry-After": "86400"})]
        with pytest.raises(OracleAway, match="is asked too much") as away:
            oracle.answer(rows(1))
        assert away.value.retry_after_s == 86400
        assert len(server.posts) == 2


def test_an_oracle_that_is_down_is_given_up_and_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    journal, first, second = tmp_path / "journal", rows(20), rows(20, seed=1)
    with opened(server, journal, patience=0.5) as oracle:
        oracle.answer(first)
        server.instead = [Reply(None)] * 99
        with pytest.raises(OracleAway, match=r"broke the connection off .* What it answered before is kept") as away:
            oracle.answer(second)
        assert server.url in str(away.value)
    server.instead = []
    with opened(server, journal) as oracle:
        logits = oracle.answer(np.concatenate([first, second]))
        assert oracle.counts.asked == 41
        assert oracle.counts.lost >= 32  # sixteen were sent in vain several times, and count as that
    assert (logits.argmax(1) == logits_of(np.concatenate([first, second])).argmax(1)).all()
    assert len(server.images) == len(set(server.images)) == 41


def test_nobody_there_is_told_with_the_address() -> None:
    with pytest.raises(OracleAway, match=r"http://127.0.0.1:9 cannot be reached: connection refused"):
        open_oracle("http://127.0.0.1:9", "trees", patience=0.1)


def test_who_trickles_is_not_waited_for() -> None:
    """A byte now and then keeps a socket's own timeout from ever coming."""
    stop = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not stop.wait(0.05):
                connection.sendall(b"a")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                talking.append(threading.Thread(target=trickle, args=(connection,), daemon=True))
                talking[-1].start()

    talking: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        begun = time.monotonic()
        with pytest.raises(OracleAway, match=r"has not answered within 0.5 s \(1 try in"):
            open_oracle(f"http://127.0.0.1:{listening.getsockname()[1]}", "trees", timeout=0.5, patience=0.3)
        assert time.monotonic() - begun < 4
        stop.set()
        listening.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *talking):
            thread.join()


def test_who_hangs_up_does_not_wait_for_an_answer(server: Server) -> None:
    with opened(server) as oracle:
        server.instead = [Reply({}, seconds=3.0)]
        threading.Timer(0.2, oracle.close).start()
        begun = time.monotonic()
        with pytest.raises(OracleAway, match="the line was closed"):
            oracle.answer(rows(1))
        assert time.monotonic() - begun < 2


# ── what cannot be its answer ───────────────────────────────────────────────────────────────────────────────────────


def predictions(*each: Any) -> Any:
    return {"results": [{"predictions": list(said)} for said in each]}


GOOD = {"index": 1, "label": "birch"}


@pytest.mark.parametrize(
    ("reply", "match"),
    [
        (Reply(b"<html>Sign in</html>", headers={"Content-Type": "text/html"}), "that is no JSON. Look at the address"),
        (Reply(predictions([GOOD])), "answers 2 images with 1 of them"),
        (Reply(predictions([GOOD], [{"index": 9, "label": "?"}])), "answers 9, which is none of the 4 classes"),
        (Reply(predictions([GOOD], [{"index": 1, "label": "oak"}])), "calls class 1 otherwise"),
        (Reply(predictions([GOOD], [])), "JSON of another form"),
        (Reply([1, 2]), "JSON of another form"),
        (Reply({"results": None}), "null as results"),
        (Reply(b"[" * 100_000), "that is no JSON"),
    ],
    ids=["a page", "too few", "no such class", "another label", "no predictions", "a list", "null", "a deep nest"],
)
def test_nonsense_is_told_and_what_was_answered_is_kept(
    server: Server, tmp_path: Path, reply: Reply, match: str
) -> None:
    journal = tmp_path / "journal"
    with opened(server, journal) as oracle:
        oracle.answer(rows(2))
        server.instead = [reply]
        with pytest.raises(OracleFault, match=match) as fault:
            oracle.answer(rows(2, seed=1))
        assert server.url in str(fault.value)
    with opened(server, journal) as oracle:
        oracle.answer(np.concatenate([rows(2), rows(2, seed=1)]))
        assert oracle.counts == Counts(asked=5, lost=2)
    assert len(server.images) == 5


@pytest.mark.parametrize(
    ("value", "match"), [(float("nan"), "NaN or infinity"), ("much", "where numbers should be"), (1.5, "outside of")]
)
def test_scores_that_are_none_are_nonsense(scoring: Server, value: Any, match: str) -> None:
    with opened(scoring) as oracle:
        told = [{"index": c, "label": label, "probability": value} for c, label in enumerate(oracle.labels)]
        scoring.instead = [Reply(predictions(told))]
        with pytest.raises(OracleFault, match=match):
            oracle.answer(rows(1))


def test_a_redirect_is_not_followed_and_told_without_its_secrets(server: Server) -> None:
    with serving(Server(ours(label_view))) as elsewhere, opened(server) as oracle:
        target = elsewhere.url.replace("http://", "http://user:password@") + "/api?token=secret"
        server.instead = [Reply({}, 307, {"Location": target})]
        with pytest.raises(
            OracleFault, match=f"sends elsewhere, to {elsewhere.url}/api. Redirects are not followed"
        ) as e:
            oracle.answer(rows(1))
        assert not elsewhere.asked
    assert "password" not in str(e.value)
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthenticated), (403, Forbidden), (422, BadParameter)])
def test_a_refusal_is_told_at_once_and_leaves_nothing_open(
    server: Server, tmp_path: Path, status: int, kind: type[RakinglightError]
) -> None:
    with opened(server, tmp_path / "journal") as oracle:
        server.instead = [Reply({"message": "no"}, status)]
        with pytest.raises(kind, match=f"refuses with {status}"):
            oracle.answer(rows(1))
        assert oracle.journal.open(oracle._id, SHAPE) == []


def test_an_oracle_that_failed_is_not_asked_by_everybody_in_turn(server: Server) -> None:
    with opened(server, patience=0.3) as oracle:
        server.instead = [Reply(None)] * 99
        with pytest.raises(OracleAway):
            oracle.answer(rows(1))
        sent = len(server.posts)
        for seed in range(5):
            with pytest.raises(OracleAway):
                oracle.answer(rows(1, seed=seed))
        assert len(server.posts) == sent


# ── whether it is who it was ────────────────────────────────────────────────────────────────────────────────────────


def test_an_oracle_that_changes_its_mind_is_found_out(server: Server, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with opened(server, journal, canaries=0.05) as oracle:
        oracle.answer(rows(40))
        server.model = lambda asked: -logits_of(asked)
        with pytest.raises(OracleChanged, match=r"images otherwise than before: another model is there now"):
            oracle.answer(rows(40, seed=1))
        answered = oracle.journal.answered(oracle._id)
        with pytest.raises(OracleChanged):  # and stays so
            oracle.answer(rows(1, seed=2))
    with pytest.raises(OracleChanged), opened(server, journal, canaries=0.05) as oracle:
        oracle.answer(rows(1, seed=3))
    server.model = logits_of
    before = len(server.images)
    with opened(server, journal, canaries=0.05) as oracle:
        oracle.answer(rows(40))
        assert oracle.journal.answered(oracle._id) == answered
    assert len(server.images) == before + 4  # the canaries of who takes a journal up again


def test_one_image_at_the_border_of_two_classes_is_no_other_model(server: Server) -> None:
    first = rows(1)

    def shaky(asked: Any) -> Any:
        z = logits_of(asked)
        same = (asked == first[0]).all((1, 2, 3))
        z[same] = -z[same] if len(server.images) > 10 else z[same]
        return z

    server.model = shaky
    with opened(server, canaries=0.2) as oracle:
        oracle.answer(first)
        for seed in range(1, 20):
            oracle.answer(rows(4, seed=seed))
        assert len(oracle._disagreed) == 1


def test_a_service_that_begins_to_round_is_no_other_model(scoring: Server) -> None:
    """As ours does that has noticed something, where its operator chose that."""

    def rounded(z: Any) -> list[dict[str, Any]]:
        return [{**said, "probability": round(said["probability"], 1)} for said in full_view(z)]

    with opened(scoring, canaries=0.5) as oracle:
        oracle.answer(rows(20))
        scoring.answer = ours(rounded)
        oracle.answer(rows(20, seed=1))
        assert oracle.counts.canaries == 20
        assert not oracle._disagreed


def test_a_view_that_is_narrowed_is_a_change(scoring: Server) -> None:
    with opened(scoring) as oracle:
        assert oracle.tells == "probabilities"
        scoring.instead = [Reply(predictions([GOOD]))]
        with pytest.raises(OracleChanged, match="told probabilities when it was first asked, and tells labels"):
            oracle.answer(rows(1))


def test_a_journal_of_other_classes_is_refused(server: Server, tmp_path: Path) -> None:
    with opened(server, tmp_path / "journal") as oracle:
        oracle.answer(rows(1))
    other = {"name": "trees", "input": {"shape": list(SHAPE)}, "labels": ["a", "b"]}
    inner = server.answer
    server.answer = lambda server, asked: Reply(other) if asked.verb == "GET" else inner(server, asked)
    with pytest.raises(OracleChanged, match="begin a new journal"), opened(server, tmp_path / "journal"):
        pass


# ── what outlives a process ─────────────────────────────────────────────────────────────────────────────────────────

ATTACKER = """
import sys, numpy as np
from pathlib import Path
from rakinglight.oracles import open_oracle
rows = np.random.default_rng(0).random((64, 1, 4, 4), np.float32)
oracle = open_oracle(sys.argv[1], "trees", None, Path(sys.argv[2]), canaries=0.0)
print("begun", flush=True)
for row in rows:
    oracle.answer(row[None])
print(oracle.counts.asked, oracle.counts.lost, flush=True)
"""


def test_an_attacker_that_is_killed_asks_nothing_twice_that_was_answered(server: Server, tmp_path: Path) -> None:
    inner = server.answer

    def slowly(server: Server, asked: Asked) -> Reply:
        reply = inner(server, asked)
        return Reply(reply.body, seconds=0.02)

    server.answer = slowly
    command = [sys.executable, "-c", ATTACKER, server.url, str(tmp_path / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout
    asked, lost = map(int, told.splitlines()[-1].split())
    assert asked == 65
    assert lost <= 1
    assert len(server.images) == len(set(server.images)) == 65  # a key that came again was told what it had been told
    assert len(server.posts) == 65 + lost


def test_a_journal_has_one_process_at_a_time(server: Server, tmp_path: Path) -> None:
    with opened(server, tmp_path / "journal"), pytest.raises(Conflict, match="in use by another process"):
        open_oracle(server.url, "trees", None, tmp_path / "journal")


@pytest.mark.parametrize("content", [b"no journal at all, but long enough to be read as one" * 9, b"SQLite format 3\0"])
def test_what_is_no_journal_is_refused_and_left_as_it_is(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(BadParameter, match="is no journal"):
        open_oracle(server.url, "trees", None, tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == content


def test_another_database_is_no_journal(server: Server, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal")) as base:
        base.execute("CREATE TABLE mine (a)")
        base.commit()
    with pytest.raises(BadParameter, match="no journal of this version"):
        open_oracle(server.url, "trees", None, tmp_path / "journal")


def test_a_folder_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="does its folder exist"):
        open_oracle(server.url, "trees", None, tmp_path / "nowhere" / "journal")


def test_the_key_is_in_no_error_no_log_and_no_journal(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rakinglight.oracles.oracle.REST_S", 0.0)
    caplog.set_level(logging.DEBUG)
    journal = tmp_path / "journal"
    said = []
    with opened(server, journal, patience=0.2) as oracle:
        said.append(repr(oracle))
        for reply in (
            Reply({"message": f"no such key: {SECRET}"}, 401),
            Reply({"code": "FORBIDDEN", "detail": f"{SECRET} may not."}, 403),
            Reply(f"who is {SECRET}?".encode(), 200),
            Reply(None),
        ):
            server.instead = [reply] * 9
            with pytest.raises(RakinglightError) as error:
                oracle.answer(rows(1))
            said += [str(error.value), repr(error.value), json.dumps(error.value.problem())]
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert SECRET.encode() not in kept + journal.read_bytes()
    assert SECRET not in caplog.text + "".join(said)


def test_a_password_in_an_address_is_refused_without_showing_it() -> None:
    with pytest.raises(BadParameter, match=r"The address of example\.org holds a password") as refused:
        open_oracle("https://me:hunter2@example.org", "trees")
    assert "hunter2" not in str(refused.value)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with opened(server) as oracle:
        assert oracle.tells == "labels"


def test_a_wait_longer_than_patience_is_told_with_both(server: Server) -> None:
    with opened(server) as oracle:
        server.instead = [Reply({}, 429, {"Retry-After": "99999"})]
        with pytest.raises(OracleAway, match="asks to wait 27 h 46 min; patience is 3 s"):
            oracle.answer(rows(1))


def test_why_it_is_waited_for_is_told_at_the_first_failure(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with opened(server) as oracle:
        server.instead = [Reply({}, 503, {"Retry-After": "0"})]
        oracle.answer(rows(1))
    assert "has too much to do; trying for 3 s" in caplog.text


def test_a_journal_of_labels_says_that_more_is_told_now(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(server, tmp_path / "journal") as oracle:
        oracle.answer(rows(1))
    server.answer = ours(full_view)
    with opened(server, tmp_path / "journal") as oracle:
        oracle.answer(rows(2))
    assert "told as labels by the journal" in caplog.text
