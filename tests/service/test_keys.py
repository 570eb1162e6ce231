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


# ── several keys ────────────────────────────────────────────────────────────────────────────────────────────────────

ALICE, BOB = "alice-has-a-long-secret", "bob-has-another-secret!"


def test_each_key_has_its_name_and_its_scopes() -> None:
    lines = f"# who may call\n\n{KEY}\r\nalice {ALICE}\n  bob\tquery,metrics  {BOB}\n"
    ring = Keyring(lines.encode())
    operator, alice, bob = (ring.admit(f"Bearer {secret}") for secret in (KEY, ALICE, BOB))
    assert (operator.name, operator.scopes, operator.sees) == ("operator", SCOPES, None)
    assert (alice.name, alice.scopes, alice.sees) == ("alice", SCOPES - {"admin"}, "alice")
    assert (bob.name, bob.scopes, bob.sees) == ("bob", {"query", "metrics"}, "bob")
    with pytest.raises(Forbidden, match="metrics, query"):
        ring.admit(f"Bearer {BOB}", "attack")
    for wrong in (ALICE + "x", "alice", f"alice {ALICE}", "# who may call"):
        with pytest.raises(Unauthenticated):
            ring.admit(f"Bearer {wrong}")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param("", "there is no key", id="nothing"),
        pytest.param("# one\n\n", "there is no key", id="comments alone"),
        pytest.param(f"{KEY}\nalice short", "line 2 .* 5 characters; .* 16 at least", id="a short secret"),
        pytest.param(f"Alice {KEY}", "line 1 .* its name is not", id="a name in capitals"),
        pytest.param(f"-a {KEY}", "line 1 .* its name is not", id="a name that begins with a dash"),
        pytest.param(f"{'a' * 33} {KEY}", "line 1 .* its name is not", id="a long name"),
        pytest.param(f"{BOB} bob-of-the-laboratory", "line 1 .* its name is not", id="turned round"),
        pytest.param(f"alice query,fly {KEY}", "line 1 .* admin, attack, explain, metrics, query", id="no such scope"),
        pytest.param(f"alice , {KEY}", "line 1 .* scope that there is not", id="empty scopes"),
        pytest.param(f"alice query metrics {KEY}", "line 1 .* has 4 words", id="too many words"),
        pytest.param(f"alice {KEY}\nbob {KEY}", "line 2 .* secret is that of line 1", id="one secret twice"),
        pytest.param(f"alice {KEY}\nalice {ALICE}", "line 2 .* name is that of line 1", id="one name twice"),
        pytest.param(f"{KEY}\n{ALICE}", "line 2 .* name is that of line 1", id="two operators"),
        pytest.param(f"alice {KEY}é", "line 1 .* printable ASCII", id="what no header carries"),
    ],
)
def test_a_faulty_line_is_named_and_never_quoted(lines: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Keyring(lines.encode())
    for word in lines.split():
        assert len(word) < 16 or word not in str(caught.value)


# ── where no key is asked for ───────────────────────────────────────────────────────────────────────────────────────


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
