"""What attacks claim through a running service is what it says of their pictures: a small share of the benchmark."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.front_door import FORMATS, SIZES, cases, digits, posted_back
from rakinglight.archives import find_archives, read_card
from rakinglight.client import connect

pytestmark = pytest.mark.timeout(180)


def test_the_benchmark_has_every_format_and_size_and_more_than_five_hundred_cases() -> None:
    asked = list(cases())
    assert len(asked) >= 500
    assert {case.format for case in asked} == set(FORMATS)
    assert {case.size for case in asked} == set(SIZES)


def test_no_attack_is_contradicted_by_its_picture_posted_back(live_service: Any, archive_store: Path) -> None:
    card = read_card(find_archives(archive_store)["lenet5-digits"])
    asked = list(cases(SIZES[:3] + SIZES[-1:], 1))[::7]
    with connect(live_service.url) as client:
        counts = posted_back(client, card, digits(10), asked)
    assert sum(count.attacks for count in counts.values()) == len(asked) >= 10
    assert [said for count in counts.values() for said in count.contradictions] == []
    assert sum(count.proven for count in counts.values()) >= 3
