"""The gallery: what its page shows can be made by the commands that it shows."""

import base64
import re
from pathlib import Path

from PIL import Image

from rakinglight.archives import find_archives, read_card
from rakinglight.catalogue import OPERATIONS
from rakinglight.pictures import to_png
from scripts.docs import commands
from scripts.gallery import PAGE, PICTURES, page
from scripts.plates import PLATES

CALLS = [call for plate in PLATES for call in plate.calls]


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m scripts.gallery --page`"


def test_every_plate_has_a_picture_and_all_of_them_are_small() -> None:
    there = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert set(there) == {plate.path.name for plate in PLATES}
    assert sum(there.values()) < 1_500_000


def test_what_is_asked_is_taken(archive_store: Path) -> None:
    picture = base64.b64encode(to_png(Image.new("RGB", (8, 8)))).decode()
    cards = {name: read_card(path) for name, path in find_archives(archive_store).items()}
    for call in CALLS:
        operation = OPERATIONS[call.operation]
        sent = {**call.parameters, **dict.fromkeys(call.pictures, picture)}
        operation.check(operation.method(call.method), sent, cards[call.model], images=max(1, len(call.images)))


def test_the_commands_have_options_that_there_are() -> None:
    known = commands()
    for call in CALLS:
        assert set(re.findall(r" (--[a-z-]+)", call.command())) <= known[call.operation], call.command()
