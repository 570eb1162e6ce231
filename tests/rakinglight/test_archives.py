"""What a worker refuses to load, and what it remembers of a machine."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from rakinglight.archives import find_archives, load_network, read_card, run_recipes
from rakinglight.errors import NotFound, Unreadable
from rakinglight.probes import Probes


@pytest.fixture
def lenet_archive(archive_store: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    copy = tmp_path / "lenet5-digits.mar"
    copy.write_bytes(find_archives(archive_store)["lenet5-digits"].read_bytes())
    return copy


def rewritten(archive: Path, change: dict[str, bytes | None]) -> Path:
    """`archive` with some members changed, added, or left out."""
    with ZipFile(archive) as old:
        members: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
    with ZipFile(archive, "w") as new:
        for name, content in (members | change).items():
            if content is not None:
                new.writestr(name, content)
    return archive


def test_a_card_is_read_without_torch(lenet_archive: Path) -> None:
    card = read_card(lenet_archive)
    assert card.input_shape == (1, 32, 32)
    assert card.labels == tuple("0123456789")
    assert card.layers["c5"] == (120, 1, 1)


def test_weights_that_are_not_those_of_the_card_are_refused(lenet_archive: Path) -> None:
    with ZipFile(lenet_archive) as archive:
        weights = bytearray(archive.read("network.safetensors"))
    weights[-1] ^= 1
    with pytest.raises(Unreadable, match="changed or damaged"):
        load_network(rewritten(lenet_archive, {"network.safetensors": bytes(weights)}))


@pytest.mark.parametrize("member", ["../outside.py", "/etc/outside", "a/../../outside", "..\\outside.py"])
def test_members_that_climb_out_are_refused(member: str, lenet_archive: Path) -> None:
    climbing = rewritten(lenet_archive, {member: b""})
    for reader in (read_card, load_network):
        with pytest.raises(Unreadable, match="outside of its folder"):
            reader(climbing)


@pytest.mark.parametrize("member", ["card.json", "network.safetensors", "network.py"])
def test_a_missing_member_is_named(member: str, lenet_archive: Path) -> None:
    with pytest.raises(Unreadable, match=f"holds no {member}"):
        load_network(rewritten(lenet_archive, {member: None}))


@pytest.mark.parametrize("card", [b"", b"[]", b"{}", b'{"name": "x"}', b"\xff"])
def test_a_card_that_is_none_is_refused(card: bytes, lenet_archive: Path) -> None:
    with pytest.raises(Unreadable, match="card"):
        read_card(rewritten(lenet_archive, {"card.json": card}))


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.mar").write_bytes(b"PK and then nothing")
    with pytest.raises(Unreadable, match="no archive"):
        read_card(tmp_path / "broken.mar")


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="model_store build"):
        read_card(tmp_path / "none.mar")
    assert find_archives(tmp_path) == {}


def test_a_recipe_knows_where_it_stands() -> None:
    (recipe,) = run_recipes(b"recipes = [__file__]", "/somewhere/network.py")
    assert recipe == "/somewhere/network.py"


def test_onnx_runtime_and_torch_agree_on_the_digits(archive_store: Path) -> None:
    from model_store import digits

    network = load_network(find_archives(archive_store)["lenet5-digits"], home=archive_store)
    assert network.gradient is not None
    pixels = torch.from_numpy(digits.pixels("seeds")[0])
    torch.testing.assert_close(network.forward.forward(pixels).logits, network.gradient.forward(pixels).logits)


# ── probes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_measured_first_holds(tmp_path: Path) -> None:
    path = tmp_path / "home" / "probes.json"
    assert Probes(path, "a")("row counts", lambda: [1, 2]) == [1, 2]
    assert Probes(path, "a")("row counts", pytest.fail) == [1, 2]
    assert Probes(path, "b")("row counts", lambda: [4]) == [4]


def test_other_threads_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = Probes(tmp_path / "probes.json", "a")
    probes("row counts", lambda: [1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 63)
    assert probes("row counts", lambda: [2]) == [2]


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "7", '{"a": '])
def test_a_corrupted_file_is_measured_anew(content: str, tmp_path: Path) -> None:
    path = tmp_path / "probes.json"
    path.write_text(content)
    assert Probes(path, "a")("row counts", lambda: [2]) == [2]
    assert list(json.loads(path.read_text()).values()) == [[2]]


@pytest.mark.parametrize(
    ("question", "sound", "damaged"),
    [
        ("row counts of a", [1, 2], [[], [2, 1], [1, 5], ["1"], [None], {}, 4, "1", None]),
        ("quickest of a and b", "b", ["c", "", ["a"], {}, 1, None]),
        ("lonely layers of a", ["b"], ["layer", [1], [["layer"]], {}, None]),
    ],
)
def test_what_cannot_have_been_measured_is_measured_anew(
    question: str, sound: object, damaged: list[object], tmp_path: Path
) -> None:
    for i, found in enumerate(damaged):
        probes = Probes(tmp_path / "probes.json", str(i))
        probes(question, lambda found=found: found)  # type: ignore[misc]
        assert probes(question, lambda: sound) == sound, found
        assert probes(question, pytest.fail) == sound


def test_a_damaged_file_stops_no_start(archive_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = find_archives(archive_store)["lenet5-digits"]
    load_network(path, home=tmp_path)
    file = tmp_path / "probes.json"
    file.write_text(
        json.dumps({key: [] if isinstance(found, list) else {} for key, found in json.loads(file.read_text()).items()})
    )
    with caplog.at_level("INFO"):
        network = load_network(path, home=tmp_path)
    assert f"forward {', '.join(map(str, network.forward_ladder.counts))}" in caplog.text


def test_a_restarted_worker_gives_the_same_bits(archive_store: Path) -> None:
    path = find_archives(archive_store)["lenet5-digits"]
    first, second = load_network(path, home=archive_store), load_network(path, home=archive_store)
    assert (first.forward.name, first.forward_ladder) == (second.forward.name, second.forward_ladder)
    assert first.gradient_ladder == second.gradient_ladder
