"""The store of artifacts: what is put is there, for whom, and for how long."""

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from rakinglight.errors import InternalError, NotFound, StorageAway
from service.artifacts import ABANDONED_S, Artifacts, Found, Usage
from service.database import Database
from service.settings import Settings

ROOT = Path(__file__).parents[2]
OURS: dict[str, Any] = {"media_type": "application/x-npz", "holder": "job:1", "owner": "ada"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        database.migrate()
        yield database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, database: Database, folder: Path) -> Artifacts:
    """In a folder, and in an object store of fsspec's that lies in memory."""
    url = str(folder) if request.param == "folder" else f"memory://{folder}"
    return Artifacts(database, url)


@pytest.fixture
def in_folder(database: Database, folder: Path) -> Artifacts:
    return Artifacts(database, str(folder))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def let_go(store: Artifacts, database: Database, holder: str = "job:1") -> None:
    with database.transaction() as connection:
        store.release(connection, holder)


# ---------------------------------------------------------------- put and read


def test_what_is_put_is_read(store: Artifacts) -> None:
    sha256 = store.put(b"a map", **OURS)
    assert sha256 == hashlib.sha256(b"a map").hexdigest()
    assert store.read(sha256) == b"a map"
    assert store.found(sha256, "ada") == Found("application/x-npz", 5)
    assert store.put(b"", **OURS) == hashlib.sha256(b"").hexdigest()
    assert store.usage() == Usage(2, 5)


def test_the_same_content_is_kept_once(store: Artifacts, database: Database) -> None:
    first = store.put(b"a map", **OURS)
    assert store.put(b"a map", **OURS | {"holder": "job:2", "owner": "bob"}) == first
    assert store.usage() == Usage(1, 5)
    let_go(store, database)
    assert store.sweep(time.time()) == 0
    assert store.read(first) == b"a map"


def test_a_file_that_is_there_is_not_written_again(in_folder: Artifacts, folder: Path) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    (folder / "writing").rmdir()
    assert in_folder.put(b"a map", **OURS) == sha256
    assert not (folder / "writing").exists()


def test_a_folder_is_for_us_alone(in_folder: Artifacts, folder: Path) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    assert files(folder) == {f"{sha256[:2]}/{sha256}"}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]]
    assert sorted(modes) == [0o600, 0o700, 0o700, 0o700]


def test_without_a_setting_it_is_in_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with closing(Database.of(settings)) as database:
        database.migrate()
        sha256 = Artifacts.of(settings, database).put(b"a map", **OURS)
    assert (tmp_path / "home" / "artifacts" / sha256[:2] / sha256).read_bytes() == b"a map"


@pytest.mark.parametrize("url", ["nowhere://bucket", "s3://bucket/folder"])
def test_what_nothing_opens_is_refused(url: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with closing(Database(f"sqlite:///{tmp_path}/jobs.db")) as database, pytest.raises(ValueError, match="artifacts"):
        Artifacts(database, url)


def test_damage_is_found_and_told(in_folder: Artifacts, folder: Path) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    path = folder / sha256[:2] / sha256
    path.write_bytes(b"a nap")
    with pytest.raises(InternalError, match=r"damaged.*disk is sound"):
        in_folder.read(sha256)
    path.unlink()
    with pytest.raises(StorageAway, match=r"missing.*RAKINGLIGHT_ARTIFACTS"):
        in_folder.read(sha256)
    in_folder.put(b"a map", **OURS)
    assert in_folder.read(sha256) == b"a map"


def test_a_file_cut_short_is_written_again(in_folder: Artifacts, folder: Path) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    (folder / sha256[:2] / sha256).write_bytes(b"a m")
    in_folder.put(b"a map", **OURS)
    assert in_folder.read(sha256) == b"a map"


# ---------------------------------------------------------------- whose


def test_what_is_another_s_is_as_if_it_were_not(store: Artifacts) -> None:
    sha256 = store.put(b"a map", **OURS)
    nobody_s = hashlib.sha256(b"nothing").hexdigest()
    words = []
    for asked in (sha256, nobody_s):
        with pytest.raises(NotFound) as refused:
            store.found(asked, "bob")
        words.append(refused.value.detail.replace(asked, "…"))
    assert words[0] == words[1]
    assert store.found(sha256, None).bytes == 5


def test_what_is_no_hash_is_not_found(store: Artifacts) -> None:
    for name in ("", "../../etc/passwd", "\0", "A" * 64, "é" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"):
        with pytest.raises(NotFound):
            store.found(name, None)


@pytest.mark.parametrize("hidden", [{"shown": False}, {"expires_at": 1.0}])
def test_only_shown_and_unexpired_holds_cover(store: Artifacts, hidden: dict[str, Any]) -> None:
    sha256 = store.put(b"a map", **OURS | hidden)
    for owner in ("ada", None):
        with pytest.raises(NotFound):
            store.found(sha256, owner)
    store.put(b"a map", **OURS | {"holder": "reply:1", "expires_at": time.time() + 60})
    assert store.found(sha256, "ada").bytes == 5


def test_a_second_hold_of_one_holder_hides_nothing(store: Artifacts) -> None:
    sha256 = store.put(b"a map", **OURS)
    store.put(b"a map", **OURS | {"shown": False})
    assert store.found(sha256, "ada").bytes == 5


# ---------------------------------------------------------------- for how long


def test_the_last_to_let_go_lets_it_be_swept(store: Artifacts, database: Database) -> None:
    sha256 = store.put(b"a map", **OURS)
    with database.transaction() as connection:
        store.hold(connection, sha256, holder="dataset:1", owner="ada")
    let_go(store, database)
    assert store.sweep(time.time()) == 0
    let_go(store, database, "dataset:1")
    assert store.sweep(time.time()) == 1
    assert store.usage() == Usage(0, 0)
    with pytest.raises(StorageAway, match="missing"):
        store.read(sha256)
    with pytest.raises(NotFound), database.transaction() as connection:
        store.hold(connection, sha256, holder="job:2", owner="ada")


def test_a_holder_keeps_what_it_names(store: Artifacts, database: Database) -> None:
    kept, state, _ = (store.put(content, **OURS) for content in (b"kept", b"state", b"older state"))
    other = store.put(b"of another", **OURS | {"holder": "job:2"})
    with database.transaction() as connection:
        store.release(connection, "job:1", but={kept, state})
    assert store.sweep(time.time()) == 1
    assert [store.read(each) for each in (kept, state, other)] == [b"kept", b"state", b"of another"]


def test_a_hold_ends_at_its_time(store: Artifacts, database: Database) -> None:
    store.put(b"a map", **OURS)
    store.put(b"a reply", **OURS | {"holder": "reply:1", "expires_at": 200.0})
    with database.transaction() as connection:
        store.expire(connection, "job:1", 300.0)
    assert [store.sweep(now) for now in (199.9, 200.0, 299.9, 300.0)] == [0, 1, 0, 1]


def test_what_was_begun_and_never_finished_is_removed(in_folder: Artifacts, folder: Path) -> None:
    in_folder.put(b"a map", **OURS)
    for name, age in (("old", ABANDONED_S + 60), ("young", 60)):
        path = folder / "writing" / name
        path.write_bytes(b"a m")
        os.utime(path, (time.time() - age,) * 2)
    in_folder.sweep(time.time())
    assert {path.name for path in (folder / "writing").iterdir()} == {"young"}


# ---------------------------------------------------------------- sweeps beside puts


@contextmanager
def before_statement(database: Database, beginning: str, deed: Callable[[], object]) -> Iterator[None]:
    """Do `deed` before the first statement within that begins so."""
    waiting = [deed]

    def before(conn: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(beginning) and waiting:
            waiting.pop()()

    event.listen(database.engine, "before_cursor_execute", before)
    yield
    event.remove(database.engine, "before_cursor_execute", before)
    assert not waiting


def test_a_put_after_the_sweep_has_listed_keeps_its_file(in_folder: Artifacts, database: Database) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    let_go(in_folder, database)
    files_of = in_folder._files
    listed = type(files_of).tidy

    def put_beside(*args: Any) -> None:
        listed(*args)
        in_folder.put(b"a map", **OURS)

    with pytest.MonkeyPatch.context() as patch:  # the sweep has its list by then, and has locked nothing
        patch.setattr(type(files_of), "tidy", put_beside)
        assert in_folder.sweep(time.time()) == 0
    assert in_folder.read(sha256) == b"a map"


def test_a_put_waits_for_the_sweep_that_has_the_row(in_folder: Artifacts, database: Database) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    let_go(in_folder, database)
    with ThreadPoolExecutor(1) as pool:

        def put_beside() -> None:
            putting = pool.submit(lambda: in_folder.put(b"a map", **OURS))
            with pytest.raises(TimeoutError):
                putting.result(timeout=0.3)

        with before_statement(database, "DELETE FROM artifacts", put_beside):
            assert in_folder.sweep(time.time()) == 1
    assert in_folder.read(sha256) == b"a map"
    assert in_folder.usage() == Usage(1, 5)


def test_a_sweep_that_dies_halfway_leaves_nothing_wrong(in_folder: Artifacts, database: Database) -> None:
    sha256 = in_folder.put(b"a map", **OURS)
    let_go(in_folder, database)

    def die() -> None:
        raise KeyboardInterrupt

    with before_statement(database, "DELETE FROM artifacts", die), pytest.raises(KeyboardInterrupt):
        in_folder.sweep(time.time())
    in_folder.put(b"a map", **OURS)
    assert in_folder.read(sha256) == b"a map"


def test_a_put_whose_hold_is_let_go_leaves_no_file_behind(
    in_folder: Artifacts, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = type(in_folder._files).write

    def late(*args: Any) -> None:
        let_go(in_folder, database)
        assert in_folder.sweep(time.time()) == 1
        write(*args)

    monkeypatch.setattr(type(in_folder._files), "write", late)
    in_folder.put(b"a map", **OURS)
    assert len(files(folder)) == 1
    assert in_folder.sweep(time.time()) == 1
    assert files(folder) == set()


def test_what_a_row_names_outlives_a_power_cut(
    in_folder: Artifacts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, synced = os.fsync, []

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.relative_to(folder).parts[:1], path.is_file() and path.stat().st_size, len(files(folder))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    sha256 = in_folder.put(b"a map", **OURS)
    # First all of the content, under its name for the time being; then its name, and that of its folder.
    assert synced == [(("writing",), 5, 1), ((sha256[:2],), False, 1), ((), False, 1)]


def hammer(store: Artifacts, database: Database, name: str, rounds: int) -> None:
    """Put, read and let go of the same few contents, so many times."""
    dice = random.Random(name)
    for _ in range(rounds):
        content = b"content %d" % dice.randrange(3)
        sha256 = store.put(content, **OURS | {"holder": name})
        assert store.read(sha256) == content
        if dice.random() < 0.5:
            store.sweep(time.time())
            assert store.read(sha256) == content
        let_go(store, database, name)


HAMMERING = """
import sys
from contextlib import closing, contextmanager, suppress
from service.artifacts import Artifacts
from service.database import Database
from tests.service.test_artifacts import hammer
with closing(Database(sys.argv[1])) as database:
    store = Artifacts(database, sys.argv[2])
    hammer(store, database, "another process", 1)
    print("begun", flush=True)
    hammer(store, database, "another process", 40)
"""


def test_no_put_loses_its_file_to_a_sweep(
    in_folder: Artifacts, database: Database, database_url: str, folder: Path
) -> None:
    command = [sys.executable, "-W", "error", "-c", HAMMERING, database_url, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        begun = other.stdout.readline()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: hammer(in_folder, database, f"job:{n}", 40), range(6)))
        wrong = other.communicate()[1]
    assert (begun, wrong, other.returncode) == ("begun\n", "", 0)
    in_folder.sweep(time.time())
    assert (in_folder.usage(), files(folder)) == (Usage(0, 0), set())


# ---------------------------------------------------------------- away


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: that takes root and CAP_SYS_ADMIN")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path}/rakinglight.db")) as database:
        database.migrate()
        yield database


def test_a_full_disk_is_told_and_left_clean(on_sqlite: Database, small_disk: Path) -> None:
    store = Artifacts(on_sqlite, str(small_disk))
    large, other = os.urandom(900_000), os.urandom(900_000)
    store.put(large, **OURS | {"holder": "job:2"})
    with pytest.raises(StorageAway, match=r"full. Free some space.*RAKINGLIGHT_ARTIFACTS") as away:
        store.put(other, **OURS)
    assert away.value.retry_after_s == 5.0
    assert len(files(small_disk)) == 1
    let_go(store, on_sqlite, "job:2")
    store.sweep(time.time())
    assert store.read(store.put(other, **OURS)) == other


def test_a_full_disk_under_the_database_is_told(small_disk: Path) -> None:
    with closing(Database(f"sqlite:///{small_disk}/rakinglight.db")) as database:
        database.migrate()
        store = Artifacts(database, f"memory://{small_disk}")
        filler = small_disk / "filler"
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)
        with pytest.raises(StorageAway, match=r"is full.*RAKINGLIGHT_DATABASE"):
            store.put(b"a map", **OURS)
        filler.unlink()
        store.put(b"a map", **OURS)


LIMITED = """
import resource, signal, sys
from contextlib import closing, contextmanager, suppress
from rakinglight.errors import StorageAway
from service.artifacts import Artifacts
from service.database import Database
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with closing(Database(sys.argv[1])) as database:
    store = Artifacts(database, sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    try:
        store.put(b"0" * 500_000, media_type="text/plain", holder="job:1", owner="ada")
    except StorageAway as e:
        print(e.detail)
"""


def test_a_file_too_large_for_the_system_is_told_and_left_clean(on_sqlite: Database, folder: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(on_sqlite.engine.url), str(folder)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "does not take a file of this size" in found.stdout
    assert files(folder) == set()


def test_a_folder_that_is_gone_is_not_made_elsewhere(on_sqlite: Database, folder: Path) -> None:
    store = Artifacts(on_sqlite, str(folder))
    folder.rmdir()
    with pytest.raises(StorageAway, match=r"folder is gone.*mounted"):
        store.put(b"a map", **OURS)
    assert not folder.exists()
    folder.mkdir()
    store.put(b"a map", **OURS)


def test_a_file_in_the_folder_s_place_is_told(on_sqlite: Database, folder: Path) -> None:
    folder.touch()
    with pytest.raises(StorageAway, match="no folder"):
        Artifacts(on_sqlite, str(folder)).put(b"a map", **OURS)


def test_a_read_only_disk_is_told(on_sqlite: Database, small_disk: Path) -> None:
    store = Artifacts(on_sqlite, str(small_disk))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageAway, match="read-only"):
        store.put(b"a map", **OURS)


def test_an_object_store_that_does_not_answer_is_told(on_sqlite: Database) -> None:
    store = Artifacts(on_sqlite, "http://127.0.0.1:1/artifacts")
    with pytest.raises(StorageAway, match="cannot be reached or refuses"):
        store.put(b"a map", **OURS)


def test_nothing_is_written_where_the_database_is_away(folder: Path) -> None:
    with closing(Database("postgresql://127.0.0.1:1/jobs")) as database:
        store = Artifacts(database, str(folder))
        with pytest.raises(StorageAway, match="database cannot be used"):
            store.put(b"a map", **OURS)
    assert files(folder) == set()
