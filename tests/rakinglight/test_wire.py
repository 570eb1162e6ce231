"""Frames: whatever goes in comes out, however the stream is cut; and what is no frame is refused, not believed."""

import base64
import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from rakinglight.errors import BadParameter, InternalError, TooLarge
from rakinglight.wire import DTYPES, FRAME_LIMIT, HEARTBEAT, KINDS, Frame, FrameReader, array_from_json, array_to_json

arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: arrays_of.arrays(name, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
bodies = st.dictionaries(
    st.text().filter(lambda key: key != "$array"),
    st.recursive(
        plain | arrays,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda key: key != "$array"), inner)
        ),
        max_leaves=8,
    ),
    max_size=4,
)
frames = st.builds(Frame, st.sampled_from(sorted(KINDS)), bodies)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(frames)
def test_what_goes_in_comes_out(frame: Frame) -> None:
    read = Frame.read(bytes(frame))
    assert read.kind == frame.kind
    assert same(read.body, frame.body)


@settings(deadline=None)
@given(st.lists(frames, max_size=4), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_a_stream_may_be_cut_anywhere(sent: list[Frame], cuts: list[int]) -> None:
    stream, reader, read = b"".join(map(bytes, sent)), FrameReader(), []
    while stream:
        cut, cuts = cuts[0], [*cuts[1:], cuts[0]]
        read += list(reader.feed(stream[:cut]))
        stream = stream[cut:]
    assert [frame.kind for frame in read] == [frame.kind for frame in sent]
    assert all(same(a.body, b.body) for a, b in zip(read, sent, strict=True))
    assert reader.pending == 0


@given(frames)
def test_half_a_frame_is_no_frame(frame: Frame) -> None:
    raw = bytes(frame)
    reader = FrameReader()
    assert list(reader.feed(raw[:-1])) == []
    assert reader.pending == len(raw) - 1
    with pytest.raises(InternalError):
        Frame.read(raw[:-1])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_a_frame_or_an_error_of_ours(raw: bytes) -> None:
    reader = FrameReader(limit=1000)
    with suppress(InternalError, TooLarge):
        for frame in reader.feed(raw):
            assert frame.kind in KINDS


@settings(deadline=None)
@given(frames, st.data())
def test_a_frame_with_one_byte_changed_is_a_frame_or_an_error_of_ours(frame: Frame, data: st.DataObject) -> None:
    raw = bytearray(bytes(frame))
    raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InternalError):
        Frame.read(bytes(raw))


def test_a_length_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge, match=f"4294967295 bytes is over the limit of {FRAME_LIMIT}"):
        list(FrameReader().feed(b"\xff\xff\xff\xff"))


def test_a_message_over_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rakinglight.wire.FRAME_LIMIT", 1000)
    with pytest.raises(TooLarge, match="over the limit of 1000"):
        bytes(Frame("result", {"x": np.zeros(1000)}))


def raw_frame(head: Any, blob: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack(">II", 4 + len(text) + len(blob), len(text)) + text + blob


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\0\0\0\0", id="nothing inside"),
        pytest.param(struct.pack(">II", 6, 2**31) + b"{}", id="a head longer than the frame"),
        pytest.param(raw_frame(b"\xff\xfe"), id="not UTF-8"),
        pytest.param(raw_frame([]), id="a list"),
        pytest.param(raw_frame({"kind": "result"}), id="no body"),
        pytest.param(raw_frame({"kind": "coup", "body": {}}), id="an unknown kind"),
        pytest.param(raw_frame(b'{"kind":"result","body":' + b"[" * 10**5), id="a deep nest"),
        pytest.param(raw_frame({"kind": "result", "body": {"$array": ["object", [1]]}}, b"x" * 8), id="objects"),
        pytest.param(raw_frame({"kind": "result", "body": {"$array": ["uint8", [2]]}}, b"x"), id="bytes missing"),
        pytest.param(raw_frame({"kind": "result", "body": {"$array": ["uint8", [-1]]}}, b"x"), id="a negative size"),
        pytest.param(
            raw_frame({"kind": "result", "body": {"$array": ["uint8", [2**70]]}}, b"x"), id="an enormous size"
        ),
        pytest.param(raw_frame({"kind": "result", "body": {"$array": ["uint8", ["1"]]}}, b"x"), id="a size in words"),
    ],
)
def test_a_hostile_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(InternalError):
        Frame.read(raw)


def test_big_endian_arrays_keep_their_values() -> None:
    x = np.arange(5, dtype=">f4")
    assert Frame.read(bytes(Frame("result", {"x": x}))).body["x"].tolist() == x.tolist()
    assert array_from_json(array_to_json(x)).tolist() == x.tolist()


def test_arrays_that_are_not_contiguous_keep_their_order() -> None:
    x = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)
    assert np.array_equal(Frame.read(bytes(Frame("result", {"x": x}))).body["x"], x)


def test_numpy_scalars_and_tuples_become_plain() -> None:
    body = Frame.read(bytes(Frame("progress", {"step": np.int64(3), "shape": (1, 2)}))).body
    assert body == {"step": 3, "shape": [1, 2]}


def test_a_heartbeat_is_small_and_ends_nothing() -> None:
    assert len(HEARTBEAT) < 50
    assert not Frame.read(HEARTBEAT).terminal
    assert [kind for kind in sorted(KINDS) if Frame(kind).terminal] == ["problem", "result"]  # type: ignore[arg-type]


# ── the contract's arrays in JSON ───────────────────────────────────────────────────────────────────────────────────


@given(arrays.filter(lambda x: x.size > 0))
def test_an_array_survives_json(x: np.ndarray[Any, Any]) -> None:
    assert same(array_from_json(json.loads(json.dumps(array_to_json(x)))), x)


def four_bytes(**changes: Any) -> dict[str, Any]:
    return {"dtype": "uint8", "shape": [4], "data": base64.b64encode(b"abcd").decode()} | changes


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        pytest.param(four_bytes(dtype="complex64"), "dtype 'complex64' is not one of bool, float16", id="dtype"),
        pytest.param(four_bytes(dtype=None), "dtype null is not one of", id="no dtype"),
        pytest.param(four_bytes(shape=[0]), r"shape \[0\] is not a list of at most 8 positive integers", id="zero"),
        pytest.param(four_bytes(shape=[-4]), r"shape \[-4\] is not", id="negative"),
        pytest.param(four_bytes(shape=[2.0, 2]), r"shape \[2.0, 2\] is not", id="float"),
        pytest.param(four_bytes(shape=[True, 4]), r"shape \[True, 4\] is not", id="bool"),
        pytest.param(four_bytes(shape="4"), "shape '4' is not", id="text"),
        pytest.param(four_bytes(shape=[1] * 65), r"shape \[1, 1, .* is not a list of at most 8", id="65 dimensions"),
        pytest.param(four_bytes(shape=[2**31 - 1] * 8), "data holds 4 bytes, uint8 of shape", id="enormous"),
        pytest.param(four_bytes(shape=[5]), r"data holds 4 bytes, uint8 of shape \[5\] is 5", id="too few"),
        pytest.param(four_bytes(dtype="float32", shape=[4]), r"float32 of shape \[4\] is 16", id="bytes for floats"),
        pytest.param(four_bytes(data=[1, 2, 3, 4]), "data is not a string; it holds the base64", id="a list"),
        pytest.param(four_bytes(data="a%&="), "data is not base64", id="not base64"),
        pytest.param(four_bytes(data="ä"), "data is not base64", id="not ASCII"),
    ],
)
def test_a_tensor_that_is_none_is_refused_with_its_place(tensor: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter, match=message) as caught:
        array_from_json(tensor, "/images/3")
    assert str(caught.value).startswith("The tensor at /images/3: ")
    assert caught.value.errors[0].pointer == "/images/3"
