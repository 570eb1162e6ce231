"""Who is let in, by one policy for both doors."""

from hashlib import sha256

import pytest

from rakinglight.errors import Forbidden, StorageAway, Unauthenticated
from service.keys import SCOPES, KeptKey, Keyring, check_place
from service.settings import Settings

KEY = "a-long-enough-key-0123456789"
RING = Keyring(KEY.encode())


async def test_without_a_key_everybody_may_do_everything() -> None:
    assert (await Keyring().admit(None, "attack")).scopes == SCOPES


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY} "])
async def test_the_key_has_every_scope(header: str) -> None:
    for scope in (None, *sorted(SCOPES)):
        assert (await RING.admit(header, scope)).scopes == SCOPES


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
async def test_anything_else_is_refused_in_the_same_words(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await RING.admit(header)
    assert caught.value.detail == "Send a key of this service as: Authorization: Bearer <key>."


async def test_neither_key_nor_digest_can_be_read_off() -> None:
    assert KEY not in repr(RING)
    assert KEY not in str(vars(RING))
    assert (await RING.admit(f"Bearer {KEY}")).name == "operator"


# ── several keys ────────────────────────────────────────────────────────────────────────────────────────────────────

ALICE, BOB = "alice-has-a-long-secret", "bob-has-another-secret!"


async def test_each_key_has_its_name_and_its_scopes() -> None:
    lines = f"# who may call\n\n{KEY}\r\nalice {ALICE}\n  bob\tquery,metrics  {BOB}\n"
    ring = Keyring(lines.encode())
    operator, alice, bob = [await ring.admit(f"Bearer {secret}") for secret in (KEY, ALICE, BOB)]
    assert (operator.name, operator.scopes, operator.sees) == ("operator", SCOPES, None)
    assert (alice.name, alice.scopes, alice.sees) == ("alice", SCOPES - {"admin"}, "alice")
    assert (bob.name, bob.scopes, bob.sees) == ("bob", {"query", "metrics"}, "bob")
    with pytest.raises(Forbidden, match="metrics, query"):
        await ring.admit(f"Bearer {BOB}", "attack")
    for wrong in (ALICE + "x", "alice", f"alice {ALICE}", "# who may call"):
        with pytest.raises(Unauthenticated):
            await ring.admit(f"Bearer {wrong}")


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


async def test_a_key_of_the_file_that_may_only_query_is_a_black_box_s() -> None:
    ring = Keyring(f"alice {ALICE}\nbob query,metrics {BOB}\n".encode())
    alice, bob = [await ring.admit(f"Bearer {secret}") for secret in (ALICE, BOB)]
    assert (alice.is_black_box, alice.view, alice.key_id) == (False, None, "alice")
    assert (bob.is_black_box, bob.view, bob.key_id) == (True, "label", "bob")


# ── keys of the database ────────────────────────────────────────────────────────────────────────────────────────────

KEPT = KeptKey(
    "key_abc", "carol", frozenset({"query"}), "top_k", 3, 100, 7, None, "log", None, created_at=0, expires_at=None,
    revoked_at=None,
)  # fmt: skip


async def find(digest: str) -> KeptKey | None:
    return KEPT if digest == sha256(CAROL.encode()).hexdigest() else None


CAROL = "rl_a-secret-that-the-database-knows"


@pytest.mark.parametrize("lines", [None, KEY.encode()], ids=["open", "with a key file"])
async def test_a_key_that_is_shown_is_honoured_even_where_none_is_needed(lines: bytes | None) -> None:
    ring = Keyring(lines, find=find)
    caller = await ring.admit(f"Bearer {CAROL}")
    assert (caller.name, caller.view, caller.key_id, caller.key) == ("carol", "top_k", "key_abc", KEPT)
    assert caller.is_black_box
    with pytest.raises(Forbidden):
        await ring.admit(f"Bearer {CAROL}", "attack")
    for wrong in (f"Bearer {CAROL}x", "Bearer whatever", "Bearer", "", "Basic YWxpY2U6c2VjcmV0"):
        with pytest.raises(Unauthenticated):
            await ring.admit(wrong)


async def test_a_key_may_be_needed_where_all_are_in_the_database() -> None:
    ring = Keyring(required=True, find=find)
    assert not ring.open
    assert (await ring.admit(f"Bearer {CAROL}")).name == "carol"
    with pytest.raises(Unauthenticated):
        await ring.admit(None)


async def test_a_key_of_the_database_is_not_taken_for_one_of_the_file() -> None:
    with pytest.raises(Unauthenticated):
        await Keyring(f"carol {ALICE}".encode(), find=find).admit(f"Bearer {CAROL}")


async def test_where_the_database_is_away_only_keys_of_the_file_are_known() -> None:
    async def away(digest: str) -> KeptKey | None:
        raise StorageAway("It is down.")

    ring = Keyring(KEY.encode(), find=away)
    assert (await ring.admit(f"Bearer {KEY}")).name == "operator"
    with pytest.raises(StorageAway):
        await ring.admit(f"Bearer {CAROL}")


async def test_to_everybody_it_may_be_a_black_box() -> None:
    nobody = await Keyring.of(Settings(black_box=True, view="rounded")).admit(None)
    assert (nobody.scopes, nobody.view, nobody.is_black_box) == ({"query"}, "rounded", True)
    assert not (await Keyring.of(Settings()).admit(None)).is_black_box


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
