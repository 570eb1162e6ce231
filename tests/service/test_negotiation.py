"""Which form an Accept header asks for."""

import pytest

from rakinglight.errors import NotAcceptable
from service.negotiation import EVENTS, JSON, NPZ, PNG, chosen

OFFERED = [JSON, NPZ, PNG, EVENTS]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("image/png", PNG),
        ("image/*", PNG),
        ("application/*", JSON),
        ("application/x-npz, application/json;q=0.9", NPZ),
        ("application/json;q=0.2, image/png;q=0.8", PNG),
        ("*/*;q=0.1, text/event-stream", EVENTS),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("*/*, application/json;q=0", NPZ),
        ("IMAGE/PNG ; q=1.0", PNG),
        ("image/png;q=nonsense, application/x-npz", NPZ),
        ("image/png;q=7, application/x-npz", NPZ),
        ("application/json;charset=utf-8", JSON),
    ],
)
def test_the_most_wanted_is_chosen(accept: str | None, kind: str) -> None:
    assert chosen(accept, OFFERED) == kind


@pytest.mark.parametrize("accept", ["text/html", "image/jpeg", "application/json;q=0", "nonsense", "*/*;q=0"])
def test_what_there_is_not_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="image/png"):
        chosen(accept, OFFERED)
