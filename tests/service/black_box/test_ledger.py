"""The ledger: what is written down, how it is read, and when it is forgotten."""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from rakinglight.errors import NotFound
from service.ask import Ask
from service.black_box import ledger as ledger_module
from service.black_box.ledger import Asked, Ledger
from service.database.pages import Page
from service.database.schema import ledger as ledger_table
from service.settings import Settings
from tests.service.black_box.conftest import NUMBERS, Process
from tests.service.black_box.test_budget import MODEL, asked, spend

IMAGE, TENSOR = b"a picture", np.zeros((1, 2, 2), np.float32)


def attack(process: Process, *, name: str | None = None, dataset: str | None = None) -> str:
    """Note an attack; by whom."""
    name = name or f"caller-{next(NUMBERS)}"
    images = () if dataset else (IMAGE, TENSOR)
    ask = Ask(
        model="small", operation="attack", images=images, dataset=dataset, purpose="to see", caller=name, key=name
    )
    process.ledger.note(Asked.of(ask, MODEL, method="pgd"), images)
    return name


def test_an_entry_says_who_asked_what_and_when(process: Process) -> None:
    name = attack(process)
    second, first = process.ledger.pages(Page(), key=name)["entries"]
    assert first == {
        "at": "2027-01-15T08:00:00.000Z",
        "id": first["id"],
        "key": name,
        "caller": name,
        "operation": "attack",
        "model": MODEL,
        "method": "pgd",
        "purpose": "to see",
        "request_id": "",
        "idempotency_key": None,
        "image": 0,
        "sha256": sha256(IMAGE).hexdigest(),
        "dataset": None,
        "kept": None,
        "charged": False,
    }
    file = io.BytesIO()
    np.save(file, TENSOR)
    assert (second["image"], second["sha256"]) == (1, sha256(file.getvalue()).hexdigest())


def test_of_a_dataset_there_is_one_entry(process: Process) -> None:
    (entry,) = process.ledger.pages(Page(), key=attack(process, dataset="ds_1"))["entries"]
    assert (entry["dataset"], entry["image"], entry["sha256"]) == ("ds_1", None, None)


def test_pages_and_the_export_tell_the_same_in_opposite_order(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BATCH", 2)
    key, entries, token = process.key(budget=9), [], None
    spend(process, key, asked(key, 1, 2, 3))
    process.clock.now += 1
    attack(process, name=key.name)
    while token is not None or not entries:
        page = process.ledger.pages(Page(2, token), key=key.name)
        entries, token = entries + page["entries"], page["next_page_token"]
    assert [(each["operation"], each["image"]) for each in entries] == [
        ("attack", 1), ("attack", 0), ("classify", 2), ("classify", 1), ("classify", 0),
    ]  # fmt: skip
    assert list(process.ledger.export(key=key.name)) == entries[::-1]
    assert list(process.ledger.export(key=key.id)) == entries[:1:-1]
    assert list(process.ledger.export(key=key.name, operation="attack")) == entries[1::-1]
    assert list(process.ledger.export(key=key.name, since=process.clock.now)) == entries[1::-1]
    assert list(process.ledger.export(key=key.id, operation="attack")) == []
    assert process.ledger.pages(Page(), key="alice")["entries"] == [], "a key of the key file that has not asked"
    for read in (lambda never: process.ledger.pages(Page(), key=never), lambda never: process.ledger.export(key=never)):
        with pytest.raises(NotFound, match="'nobody' is neither the name nor the id"):
            read("nobody")


def test_answers_are_kept_small_and_read_by_nobody_who_does_not_show_them(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, what = process.key(), asked(None, 1, again="large")
    answer = [{"index": i, "label": f"some label {i}", "probability": 1 / (i + 3.3)} for i in range(1000)]
    with process.database.transaction() as connection:
        process.ledger.write(connection, replace(what, key=key.id, caller=key.name), charged=True, answers=[answer])
    with process.database.reading() as connection:
        size = sa.func.length(sa.type_coerce(ledger_table.c.answer, sa.LargeBinary))
        assert connection.scalar(sa.select(size).where(ledger_table.c.key == key.id)) < 20_000
        assert connection.scalar(sa.select(ledger_table.c.answer).where(ledger_table.c.key == key.id)) == answer
    read: list[str] = []
    sa.event.listen(process.database.engine, "before_cursor_execute", lambda *said: read.append(said[2]))
    assert len(list(process.ledger.export(key=key.id))) == 1
    assert len(process.ledger.pages(Page(), key=key.id)["entries"]) == 1
    assert not [statement for statement in read if "answer" in statement]


def test_a_large_sweep_lets_others_write_in_between_and_leaves_no_large_log(
    keeping: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BATCH", 2)
    monkeypatch.setattr(ledger_module, "MANY", 8)
    name = f"caller-{next(NUMBERS)}"
    for _ in range(4):
        attack(keeping, name=name)
    begun: list[int] = []
    transaction = keeping.database.transaction
    monkeypatch.setattr(keeping.database, "transaction", lambda: (begun.append(1), transaction())[1])
    assert keeping.ledger.sweep(keeping.clock.now + 100) >= 8
    assert len(begun) >= 6
    with pytest.raises(NotFound, match="no entry is of one"):
        keeping.ledger.pages(Page(), key=name)
    url = keeping.database.engine.url
    if url.get_backend_name() == "sqlite":
        assert Path(f"{url.database}-wal").stat().st_size == 0


@pytest.fixture
def keeping(shared_url: str, tmp_path: Path) -> Iterator[Process]:
    """Keeps images, for a hundred seconds."""
    one = Process.at(shared_url, tmp_path, ledger_images=True, ledger_s=100.0)
    with closing(one.database):
        yield one


def test_images_are_kept_where_the_operator_wants_that_and_only_an_admin_sees_them(keeping: Process) -> None:
    content = f"a picture {next(NUMBERS)}".encode()
    name = f"caller-{next(NUMBERS)}"
    ask = Ask(model="small", operation="attack", images=[content], caller=name, key=name)
    keeping.ledger.note(Asked.of(ask, MODEL), [content])
    (entry,) = keeping.ledger.pages(Page(), key=name)["entries"]
    assert entry["kept"] == entry["sha256"]
    assert keeping.artifacts.found(entry["kept"], None).bytes == len(content)
    assert keeping.artifacts.read(entry["kept"]) == content
    with pytest.raises(NotFound):
        keeping.artifacts.found(entry["kept"], name)
    keeping.artifacts.sweep(keeping.clock.now + 99)
    assert keeping.artifacts.found(entry["kept"], None)
    keeping.artifacts.sweep(keeping.clock.now + 100)
    with pytest.raises(NotFound):
        keeping.artifacts.found(entry["kept"], None)


def test_an_image_that_was_never_written_down_is_kept_for_an_hour(keeping: Process) -> None:
    content = b"an orphan"
    assert keeping.ledger.keep([content])
    keeping.artifacts.sweep(keeping.clock.now + 3600)
    with pytest.raises(NotFound):
        keeping.artifacts.found(sha256(content).hexdigest(), None)
    assert Ledger(keeping.database, keeping.artifacts, Settings()).keep([content]) is None


def test_entries_are_forgotten_in_their_time(keeping: Process) -> None:
    name = attack(keeping)
    keeping.ledger.sweep(keeping.clock.now + 99)
    assert len(keeping.ledger.pages(Page(), key=name)["entries"]) == 2
    assert keeping.ledger.sweep(keeping.clock.now + 100) >= 2
    with pytest.raises(NotFound, match="no entry is of one"):
        keeping.ledger.pages(Page(), key=name)
