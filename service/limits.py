"""What one request may ask for, by the settings: checked before any of it is spent. Needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

import numpy as np

from rakinglight import reply
from rakinglight.catalogue import Operation
from rakinglight.errors import BadParameter, FieldError, TooLarge
from rakinglight.plan import Plan
from service.ask import Array, Ask, Prepared
from service.settings import Settings

#: Most characters of a purpose.
PURPOSE_LENGTH = 500
#: Parameters that say how long a run is, each with a setting of its name.
LENGTHS = ("steps", "masks")
#: Bytes of pixels that one run may be about; a message to the engine holds twice as many.
TOGETHER_BYTES = 128 * 2**20
#: What an Idempotency-Key may be.
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def check(ask: Ask, images: int, settings: Settings, *, job: bool) -> tuple[float, int]:
    """The seconds and the rows that `ask` has."""
    check_maps(ask, min(images, settings.worker_images) if job else images, settings)
    if len(ask.purpose or "") > PURPOSE_LENGTH:
        detail = f"purpose has {len(ask.purpose or '')} characters; {PURPOSE_LENGTH} are enough."
        raise BadParameter.at("/purpose", detail)
    if any(c == "\0" or 0xD800 <= ord(c) < 0xE000 for c in ask.purpose or ""):
        raise BadParameter.at("/purpose", "purpose has a NUL or half of a character, which no database keeps.")
    if not 0 <= ask.seed < 2**63:
        raise BadParameter.at("/seed", f"seed is {ask.seed}; it is a whole number from 0 to 2^63 - 1.")
    limit = settings.job_deadline_s if job else settings.deadline_limit_s
    seconds = (limit if job else settings.deadline_s) if ask.deadline_s is None else ask.deadline_s
    if not (math.isfinite(seconds) and 0 < seconds <= limit):
        detail = f"deadline_s is {seconds:g}; it is above 0 and at most {limit:g} seconds."
        raise BadParameter.at("/deadline_s", detail)
    rows = settings.rows if ask.max_rows is None else ask.max_rows
    if not 0 < rows <= settings.rows:
        raise BadParameter.at("/max_rows", f"max_rows is {rows}; it is from 1 to {settings.rows} for each image.")
    return seconds, rows


def check_idempotency_key(key: str | None) -> None:
    """Refuse one that no header carries whole."""
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadParameter.at("/Idempotency-Key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")


def check_maps(ask: Ask, images: int, settings: Settings) -> None:
    """Refuse more maps than one request may have, before anything looks into them.

    images  that are asked about at once
    """
    listed, pointer = (ask.method, "/method") if ask.compare is None else (ask.compare, "/compare")
    maps = 1 if listed is None or isinstance(listed, str) else len(listed)
    if maps > settings.maps:
        raise BadParameter.at(
            pointer, f"{maps} maps of each image are over the limit of {settings.maps}; send several requests."
        )
    if maps > 1 and (runs := maps * images) > settings.runs:
        raise BadParameter.at(
            pointer,
            f"{maps} maps of each of {images} images are {runs} runs at once; one request may have "
            f"{settings.runs}, or it would keep all others waiting. Send fewer images, or compare fewer maps.",
        )


def check_lengths(plan: Plan, settings: Settings) -> None:
    """Refuse a run that is longer than the settings allow."""
    for part in plan.parts:
        methods = part.parameters.get("methods", ())  # an operation may take methods of another among its parameters
        within = {f"/parameters/methods/{i}/parameters": each["parameters"] for i, each in enumerate(methods)}
        for at, parameters in {"/parameters": part.parameters, **within}.items():
            for name in LENGTHS:
                length, limit = parameters.get(name, 0), getattr(settings, name)
                if isinstance(length, int) and length > limit:  # the masks of a dissection are pictures
                    detail = f"{name} is {length}; the limit here is {limit}."
                    raise part.placed(BadParameter.at(f"{at}/{name}", detail))


def check_image(pixels: Array, i: int, prepared: Prepared, settings: Settings) -> None:
    """Refuse an attack on an image that is too large for one."""
    card = prepared.plan.card
    if not prepared.plan.operation.own_size:
        return
    size = pixels.size // card.input_shape[0]
    if size > settings.attack_pixels:
        h, w = _height_width(pixels)
        detail = (
            f"An attack changes the image at its own size, up to {settings.attack_pixels} pixels; this one is "
            f"{w} x {h}, {size}. Send it smaller: {card.name} looks at {card.input_shape[1]} x "
            f"{card.input_shape[2]}."
        )
        raise TooLarge(f"Image {i}: {detail}", errors=[FieldError(f"/images/{i}", detail)])


def check_together(images: Sequence[Array]) -> None:
    """Refuse more images than one run takes together: they travel to the engine in one message."""
    if (count := sum(image.nbytes for image in images)) > TOGETHER_BYTES:
        detail = f"{len(images)} images have {count} bytes, and one run takes {TOGETHER_BYTES}. Send fewer or smaller."
        raise TooLarge(detail, errors=[FieldError("/images", detail)])


def has_room_for_exact(decoded: Sequence[Array], ask: Ask, operation: Operation, settings: Settings) -> bool:
    """Whether the exact tensors of these images fit into the reply beside what else it carries, at worst.

    Raises TooLarge where they do not and were asked for by name, or where the rest does not fit without them:
    better refused now than after the work.
    """
    if "adversarial" not in operation.include:
        return True
    sizes = [(*_height_width(pixels), pixels.size) for pixels in decoded]

    def most(names: Collection[str]) -> int:
        return sum(reply.most_bytes(names, h, w, size // (h * w)) for h, w, size in sizes)

    wanted, limit = reply.check_include(operation, ask.include), settings.reply_bytes
    if (count := most(wanted)) <= limit:
        return True
    if ask.include is None and most(wanted - {"exact"}) <= limit:
        return False
    narrower = wanted > {"adversarial"} and most({"adversarial"}) <= limit
    remedy = 'Narrow it with "include": ["adversarial"], or send' if narrower else "Send"
    detail = f"The reply may take {count} bytes; the limit is {limit}. {remedy} fewer or smaller images."
    raise TooLarge(detail, errors=[FieldError("/include" if narrower else "/images", detail)])


def _height_width(pixels: Array) -> tuple[int, int]:
    height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
    return height, width
