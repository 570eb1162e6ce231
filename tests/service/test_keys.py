"""Who is let in, by one policy for both doors."""

import pytest

from rakinglight.errors import Forbidden, Unauthenticated
from service.keys import SCOPES, Keyring, check_place

KEY = "a-long-enough-key-0123456789"
RING = Keyring(KEY.encode())


def test_without_a_key_everybody_may_do_everything() -> None:
    assert Keyring().admit(None, "attack").scopes == SCOPES
    assert Keyring().admit("Bearer whatever", "admin").scopes == SCOPES


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY} "])
def test_the_key_has_every_scope(header: str) -> None:
    for scope in (None, *sorted(SCOPES)):
        assert RING.admit(header, scope).scopes == SCOPES


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        KEY,
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}0",
        "Bearer ключ",
        "Bearer \udcff",
    ],
    ids=ascii,
)
def test_anything_else_is_refused_in_the_same_words(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        RING.admit(header)
    assert caught.value.detail == "Send a key of this service as: Authorization: Bearer <key>."


def test_neither_key_nor_digest_can_be_read_off() -> None:
    assert KEY not in repr(RING)
    assert KEY not in str(vars(RING))
    assert RING.admit(f"Bearer {KEY}").name == "operator"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", None),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("Localhost", "http://localhost"),
        ("localhost:8000", "https://lab.example"),
        ("lab.example", "https://lab.example"),
        (None, None),
    ],
)
def test_pages_of_this_machine_may_call(host: str | None, origin: str | None) -> None:
    check_place(host, origin, ["lab.example"])


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("localhost.evil.example:8000", None),
        ("localhost:8000", "https://evil.example"),
        ("localhost:8000", "null"),
        ("localhost:8000", "http://localhost:3000"),
        ("localhost:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "https://localhost:8000"),
        (None, "http://localhost:8000"),
        (None, "http://none"),
        ("[", None),
        ("", None),
    ],
)
def test_pages_of_elsewhere_may_not(host: str, origin: str | None) -> None:
    with pytest.raises(Forbidden):
        check_place(host, origin)
