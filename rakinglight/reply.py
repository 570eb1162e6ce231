"""From what a run returned to what a caller reads: geometry added, pictures made, narrowed to what was asked for.

A reply exists in one form inside, a tree of plain values in which arrays are numpy and pictures are PNG bytes, and in
two outside: JSON (`to_json`) and NPZ (`to_npz`). `from_json` and `from_npz` lead back. Needs no torch.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rakinglight import charts, pictures
from rakinglight.card import Card
from rakinglight.catalogue import Operation
from rakinglight.errors import BadParameter, InternalError, NotAcceptable, near
from rakinglight.geometry import Geometry
from rakinglight.wire import array_from_json, array_to_json

Array = np.ndarray[Any, Any]
Entry = dict[str, Any]

#: Where a picture stands in a reply: in JSON it is base64, and no name tells it from another string.
PICTURES = frozenset({"adversarial", "overlay", "curves", "picture", "chart", "animation"})
#: Those that a run makes itself: a picture as uint8 [H, W, C], any other file as uint8 [n].
MADE = frozenset({"picture", "animation"})
#: Where an entry holds others like itself, or parts of one: `include` narrows these as well.
BESIDE = frozenset({"others", "softmax"})

#: Bytes of all that an entry says in numbers and words, with room to spare: a trace of 100 points is 3 KB.
WORDS = 8192
#: What an entry says of an exact tensor that it does not carry.
LEFT_OUT = 'The image of exact is left out: the reply would be over its limit. "include": ["exact"] asks for it alone.'


def check_include(operation: Operation, include: Collection[str] | None) -> frozenset[str]:
    """What a result of `operation` carries, where None means all. Raises BadParameter for a name that is none of it."""
    if include is None:
        return frozenset(operation.include)
    for i, name in enumerate(include):
        if name not in operation.include:
            detail = f"{operation.name} has nothing called {name!r} to include: {near(str(name), operation.include)}"
            raise BadParameter.at(f"/include/{i}", detail)
    return frozenset(include)


def finish(
    operation: Operation,
    result: Mapping[str, Any],
    pixels: Array,
    card: Card,
    include: Collection[str] | None,
    facts: Mapping[str, str],
    *,
    exact_image: bool = True,
    given: bool = True,
) -> Entry:
    """One entry of a reply's `results`.

    result       what the operation returned
    pixels       the image that it was asked about, uint8 [H, W, C] or float32 [C, H, W]
    include      the names that the entry carries beyond numbers and labels; None means all that the operation has
    facts        what the text chunks of an adversarial PNG say: model, method, epsilon, request_id
    exact_image  whether `exact` has its image; without, it has what is said of the image, and `note` says why
    given        whether `pixels` came; else there is no geometry to tell of
    """
    wanted = check_include(operation, include)
    entry = {name: value for name, value in result.items() if name != "seen"}
    if given:
        entry["geometry"] = _geometry(pixels, card)
    if "overlay" in wanted and "map" in result:
        scaling = pictures.Scaling.of(result["map"])
        entry["overlay"] = pictures.to_png(pictures.overlay(result["seen"], result["map"], scaling))
        entry["scaling"] = asdict(scaling)
    if "curves" in wanted and charts.CURVES.keys() & result.get("evaluation", {}).keys():
        entry["curves"] = pictures.to_png(charts.curves(result["evaluation"]))
    if "adversarial" in result:
        if "perturbation" in wanted:
            picture, factor = pictures.perturbation(pixels, result["adversarial"])
            entry["perturbation"] = {"picture": pictures.to_png(picture), "factor": factor}
        if "adversarial" in wanted:
            entry["adversarial"] = pictures.to_png(pictures.from_pixels(result["adversarial"]), facts)
    entry = _filed(entry)
    if "exact" in result and not exact_image:
        entry["exact"] = {name: value for name, value in result["exact"].items() if name != "image"}
        entry["note"] = " ".join(filter(None, (result.get("note"), LEFT_OUT)))
    left_out = set(operation.include) - wanted
    for name in BESIDE & entry.keys():
        beside = entry[name]
        listed = [_without(left_out, one) for one in beside] if isinstance(beside, list) else None
        entry[name] = _without(left_out, beside) if listed is None else listed
    return _without(left_out, entry)


def _without(names: Collection[str], entry: Mapping[str, Any]) -> Entry:
    return {name: value for name, value in entry.items() if name not in names}


def _filed(value: Any, name: str = "") -> Any:
    """`value`, in which files stand for what a run has made: the PNG of uint8 [H, W, C], the bytes of uint8 [n]."""
    match value:
        case np.ndarray() if name in MADE and value.dtype == np.uint8:
            return value.tobytes() if value.ndim == 1 else pictures.to_png(pictures.from_pixels(value))
        case Mapping():
            return {key: _filed(one, key) for key, one in value.items()}
        case list():
            return [_filed(one, name) for one in value]
        case _:
            return value


def finish_together(
    operation: Operation,
    result: Mapping[str, Any],
    images: Sequence[Array],
    card: Card,
    include: Collection[str] | None,
    *,
    given: bool = True,
) -> list[Entry]:
    """The entries of a reply's `results`, of an operation that is about all `images` together.

    What there is to say of all of them stands in the first, as `summary`, until `summarized` lifts it from there: what
    is kept of a job, is kept image by image. The others are those of `finish`.
    """
    found = zip(result["results"], images, strict=True)
    (first, *others) = [finish(operation, one, pixels, card, include, {}, given=given) for one, pixels in found]
    wanted, summary = check_include(operation, include), dict(result["summary"])
    if operation.draw:
        of_all, each = operation.draw(result, images, card, wanted)
        summary |= of_all
        first, *others = (entry | own for entry, own in zip((first, *others), each, strict=True))
    elif "picture" in wanted:
        drawn, factor = pictures.perturbation(np.zeros_like(summary["perturbation"]), summary["perturbation"])
        summary |= {"picture": pictures.to_png(drawn), "factor": factor}
    if "chart" in wanted and not operation.draw:
        summary["chart"] = pictures.to_png(charts.fooling(summary))
    kept = {name: value for name, value in summary.items() if name in wanted or name not in operation.include}
    return [{**first, "summary": kept}, *others]


def summarized(
    operation: Operation,
    entries: Sequence[Mapping[str, Any] | None],
    parameters: Mapping[str, Any],
    include: Collection[str] | None,
) -> tuple[list[Any], dict[str, Any] | None]:
    """A reply's `results` and what there is to say of all of them together, None where that is nothing.

    entries  one an image; None of an image without an answer
    """
    found = [entry for entry in entries if entry is not None]
    if lifted := next((dict(entry["summary"]) for entry in found if "summary" in entry), None):
        alone = [entry and {name: value for name, value in entry.items() if name != "summary"} for entry in entries]
        return alone, lifted
    if operation.summarize is None or not found:
        return list(entries), None
    summary = operation.summarize(found, parameters)
    if "chart" in check_include(operation, include):
        summary["chart"] = pictures.to_png(charts.accuracy(summary))
    return list(entries), summary


def compared(
    operation: Operation,
    asked: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    pixels: Array,
    card: Card,
    include: Collection[str] | None,
) -> Entry:
    """One entry of a reply's `results`, of several maps of one image: `maps` has one a part, `overlay` shows all.

    asked    what each part is of: {"method", "parameters"}, all parameters of it
    results  what the operation returned for each
    The others are those of `finish`. What the parts have in common stands in the entry alone; each part has the method,
    the parameters, and all that `finish` would give it but the overlay, of which there is one, a contact sheet.
    """
    wanted = check_include(operation, include)
    entries = [finish(operation, result, pixels, card, include, {}) for result in results]
    entry: Entry = {"prediction": results[0]["prediction"], "geometry": _geometry(pixels, card)}
    shared = {"overlay", *entry}
    entry["maps"] = [
        {**part, **{name: value for name, value in one.items() if name not in shared}}
        for part, one in zip(asked, entries, strict=True)
    ]
    if "overlay" in wanted:
        panels = [
            pictures.Panel(pictures.from_png(one["overlay"]), str(part["method"]), note)
            for part, one, note in zip(asked, entries, _notes(asked, results), strict=True)
        ]
        # A row for each class where every class has as many methods.
        targets = [result["target"]["index"] for result in results]
        run = next((i for i, target in enumerate(targets) if target != targets[0]), len(targets))
        columns = run if 1 < run < len(targets) and len(targets) % run == 0 else None
        widest = max(panel.picture.width for panel in panels)
        entry["overlay"] = pictures.to_png(pictures.sheet(panels, columns=columns, width=widest))
    if any(result.get("partial") for result in results):
        entry["partial"] = True
    return entry


def _notes(asked: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands below the method of each part: the class, and the parameters in which the parts differ."""
    names = dict.fromkeys(name for part in asked for name in part["parameters"] if name != "target")
    given = {name: [part["parameters"][name] for part in asked if name in part["parameters"]] for name in names}
    telling = [name for name, values in given.items() if any(value != values[0] for value in values)]
    notes = []
    for part, result in zip(asked, results, strict=True):
        target = result["target"]
        sure = f" ({target['probability']:.1%})" if target.get("probability") is not None else ""
        differing = [f"{name} {part['parameters'][name]}" for name in telling if name in part["parameters"]]
        areas = [
            f"{name} {found['area']:.3f}"
            for name, found in result.get("evaluation", {}).items()
            if name in charts.CURVES
        ]
        lines = f"{target['label']}{sure}", ", ".join([*differing, *areas])
        notes.append("\n".join(filter(None, lines)))
    return notes


def _geometry(pixels: Array, card: Card) -> dict[str, Any]:
    height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
    return Geometry.of(height, width, card.input_shape, card.resize).to_json()


def most_bytes(names: Collection[str], height: int, width: int, channels: int) -> int:
    """The bytes that an attack's entry takes at worst, in JSON: its arrays and pictures are base64 there.

    names  those of `include` that it carries
    """
    parts = {
        "adversarial": pictures.most_png_bytes(height, width, channels),
        "exact": height * width * channels * np.dtype(np.float32).itemsize,
        "perturbation": pictures.most_perturbation_bytes(height, width),
    }
    return WORDS + sum(4 * math.ceil(parts[name] / 3) for name in names)


def facts(card: Card, method: str | None, parameters: Mapping[str, Any], request_id: str) -> dict[str, str]:
    """What an adversarial PNG says of itself in its text chunks."""
    said = {"model": f"{card.name} {card.version}", "method": method, "request_id": request_id}
    if "epsilon" in parameters:
        said["epsilon"] = f"{parameters['epsilon']:g}"
    return {name: value for name, value in said.items() if value}


def picture(
    operation: Operation,
    entries: Sequence[Mapping[str, Any]],
    titles: Sequence[str] = (),
    summary: Mapping[str, Any] | None = None,
) -> bytes:
    """The one picture of `operation`'s answer as PNG; several images stand side by side, several sheets in a column.

    titles   what stands above each, where there are several
    summary  the reply's, where it has one: a picture of all images together stands there
    Raises NotAcceptable where the operation has none, or where `include` has left it out.
    """
    name = operation.picture
    if name is None:
        raise NotAcceptable(f"{operation.name} has no picture; ask for application/json or application/x-npz.")
    if summary and name in summary:
        return bytes(summary[name])
    if not entries or any(name not in entry for entry in entries):
        raise NotAcceptable(
            f"The picture of {operation.name} is {name!r}, which this reply leaves out; put it into include."
        )
    if len(entries) == 1:
        return bytes(entries[0][name])  # untouched: an adversarial picture is judged by its very pixels
    drawn = [pictures.from_png(entry[name]) for entry in entries]
    panels = [pictures.Panel(each, title) for each, title in zip(drawn, titles or [""] * len(drawn), strict=True)]
    if name != "overlay":
        return pictures.to_png(pictures.sheet(panels))
    # As large as it is: an overlay has words on it, which do not survive being made smaller.
    columns = 1 if any("maps" in entry for entry in entries) else None
    return pictures.to_png(pictures.sheet(panels, columns=columns, width=max(each.width for each in drawn)))


def to_json(value: Any) -> Any:
    """`value` as JSON has it: arrays as {"dtype", "shape", "data"}, pictures as base64."""
    match value:
        case np.ndarray():
            return array_to_json(value)
        case np.generic():
            return to_json(value.item())
        case float() if not math.isfinite(value):  # which JSON has no word for
            return None
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {name: to_json(v) for name, v in value.items()}
        case list() | tuple():
            return [to_json(v) for v in value]
        case _:
            return value


def from_json(value: Any, name: str = "") -> Any:
    """What `to_json` was given."""
    match value:
        case {"dtype": _, "shape": _, "data": _}:
            return array_from_json(value, name)
        case dict():
            return {key: from_json(v, key) for key, v in value.items()}
        case list():
            return [from_json(v, name) for v in value]
        case str() if name in PICTURES:
            return base64.b64decode(value)
        case _:
            return value


def spilled(value: Any, limit: int, put: Callable[[bytes, str], str]) -> Any:
    """`value`, in which {"href", "sha256", "bytes"} stands for arrays and pictures of more than `limit` bytes.

    put  keeps content of a media type, and returns its SHA-256; arrays are .npy files, which numpy reads on its own
    """
    match value:
        case np.ndarray() if value.nbytes > limit:
            out = io.BytesIO()
            np.save(out, value, allow_pickle=False)
            return _reference(out.getvalue(), "application/x-npy", put)
        case bytes() if len(value) > limit:
            return _reference(value, media_type(value), put)
        case Mapping():
            return {name: spilled(v, limit, put) for name, v in value.items()}
        case list() | tuple():
            return [spilled(v, limit, put) for v in value]
        case _:
            return value


def media_type(picture: bytes) -> str:
    """That of a PNG, a GIF or a WebP file."""
    kinds = {b"GIF8": "image/gif", b"RIFF": "image/webp"}
    return kinds.get(picture[:4], "image/png")


def _reference(content: bytes, media_type: str, put: Callable[[bytes, str], str]) -> Entry:
    sha256 = put(content, media_type)
    return {"href": f"/api/v1/artifacts/{sha256}", "sha256": sha256, "bytes": len(content)}


def gathered(value: Any, read: Callable[[str], bytes]) -> Any:
    """What `spilled` was given, read from where it was put by its SHA-256."""
    match value:
        case {"href": _, "sha256": sha256, "bytes": _}:
            content = read(sha256)
            is_array = content.startswith(np.lib.format.MAGIC_PREFIX)
            return np.load(io.BytesIO(content), allow_pickle=False) if is_array else content
        case Mapping():
            return {name: gathered(v, read) for name, v in value.items()}
        case list() | tuple():
            return [gathered(v, read) for v in value]
        case _:
            return value


def sizes(value: Any, *, spilled: bool = False) -> Iterator[int]:
    """Bytes of each array and picture in `value`, or with `spilled` of each that was spilled out of it."""
    match value:
        case {"href": _, "sha256": _, "bytes": count}:
            yield from [count] if spilled else []
        case np.ndarray():
            yield from [] if spilled else [value.nbytes]
        case bytes():
            yield from [] if spilled else [len(value)]
        case Mapping():
            for each in value.values():
                yield from sizes(each, spilled=spilled)
        case list() | tuple():
            for each in value:
                yield from sizes(each, spilled=spilled)


def to_npz(entries: Sequence[Mapping[str, Any]], reply: Mapping[str, Any] | None = None) -> bytes:
    """A reply as NPZ, which numpy reads on its own: `numpy.load(file)["results.0.map"]`.

    entries  the reply's `results`
    reply    its other members
    Arrays are members named by their path; pictures are uint8 [n], the bytes of the PNG. The member `reply` is the
    whole reply as JSON text, in which {"npz": path} stands for each of them.
    """
    members: dict[str, Array] = {}

    def lift(value: Any, path: str) -> Any:
        match value:
            case np.ndarray():
                members[path] = value
                return {"npz": path}
            case bytes():
                members[path] = np.frombuffer(value, np.uint8)
                return {"npz": path, "picture": True}
            case Mapping():
                return {name: lift(v, f"{path}.{name}" if path else name) for name, v in value.items()}
            case list() | tuple():
                return [lift(v, f"{path}.{i}") for i, v in enumerate(value)]
            case _:
                return to_json(value)

    text = json.dumps(lift({**(reply or {}), "results": entries}, ""))
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, reply=np.array(text), **members)
    return out.getvalue()


def from_npz(raw: bytes) -> dict[str, Any]:
    """The reply that `to_npz` wrote. Raises InternalError where `raw` is none."""

    def lower(value: Any) -> Any:
        match value:
            case {"npz": path, "picture": True}:
                return members[path].tobytes()
            case {"npz": path}:
                return members[path]
            case dict():
                return {name: lower(v) for name, v in value.items()}
            case list():
                return [lower(v) for v in value]
            case _:
                return value

    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            members = dict(file)
        return dict(lower(json.loads(str(members["reply"]))))
    except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError) as e:
        raise InternalError(f"{len(raw)} bytes of NPZ are no reply: {e}.") from e
