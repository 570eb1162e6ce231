"""What an operator may set, from where, and what is refused before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.keys import Keyring
from service.settings import Settings

KEY = "a-long-enough-key-0123456789"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("RAKINGLIGHT_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.grpc_port) == ("127.0.0.1", 8000, 8001)
    assert settings.body_bytes == settings.reply_bytes == 64 * 2**20
    assert (settings.images, settings.image_pixels, settings.attack_pixels) == (16, 25_000_000, 4_000_000)
    assert (settings.steps, settings.masks, settings.rows) == (1000, 10_000, 20_000)
    assert (settings.deadline_s, settings.deadline_limit_s) == (60, 600)


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "rakinglight.toml"
    file.write_text('port = 9000\ngrpc_port = 9001\nmodels = ["a", "b"]\n')
    monkeypatch.setenv("RAKINGLIGHT_CONFIG", str(file))
    monkeypatch.setenv("RAKINGLIGHT_PORT", "9100")
    settings = Settings()
    assert (settings.port, settings.grpc_port, settings.models) == (9100, 9001, ("a", "b"))
    assert Settings(port=9200).port == 9200


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAKINGLIGHT_MODELS", "lenet5-digits, my-network,")
    monkeypatch.setenv("RAKINGLIGHT_ALLOWED_HOSTS", "lab.example")
    assert Settings().models == ("lenet5-digits", "my-network")
    assert Settings().allowed_hosts == ("lab.example",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"host": "0.0.0.0"}, "no key", id="open to others without a key"),
        pytest.param({"host": "::"}, "KEY_FILE", id="the same in IPv6"),
        pytest.param({"host": "example.org"}, "no key", id="a name that may be anywhere"),
        pytest.param({"key": "short"}, "16 at least", id="a short key"),
        pytest.param({"key": KEY, "key_file": "/nowhere"}, "both set", id="two keys"),
        pytest.param({"key_file": "/dev/null"}, "no key", id="a file without a key"),
        pytest.param({"key_file": "/nowhere/key"}, "cannot be read", id="no such file"),
        pytest.param({"port": 70_000}, "65535", id="no port"),
        pytest.param({"models": ""}, "at least 1", id="no models"),
        pytest.param({"deadline_s": 700}, "limit of 600", id="a default over its limit"),
        pytest.param({"engine": "local", "engine_sockets": "/run"}, "keep one", id="two engines"),
        pytest.param({"allow": "a"}, "a=b|looks like", id="a model without operations"),
        pytest.param({"allow": "a=classify+fly"}, "'fly'", id="no such operation"),
        pytest.param({"host": "0.0.0.0", "require_key": False, "key": KEY}, "no key", id="a key that nobody needs"),
        pytest.param({"prot": 9000}, "[Ee]xtra", id="no such setting"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**values)  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAKINGLIGHT_CONFIG", "/nowhere/rakinglight.toml")
    with pytest.raises(ValueError, match="no file"):
        Settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_key(host: str) -> None:
    assert Settings(host=host).on_loopback


async def test_with_a_key_it_may_listen_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    settings = Settings(host="0.0.0.0", key_file=file)
    assert (await Keyring.of(settings).admit(f"Bearer {KEY}")).name == "operator"
    assert not settings.on_loopback


def test_the_key_is_not_shown() -> None:
    settings = Settings(key=KEY)  # type: ignore[arg-type]
    assert settings.keys == KEY.encode()
    assert KEY not in repr(settings)
    assert KEY not in str(settings.model_dump())


async def test_a_key_file_may_hold_several_and_is_read_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"alice {KEY}\nbob query {KEY[::-1]}\n")
    assert (await Keyring.of(Settings(key_file=file)).admit(f"Bearer {KEY[::-1]}")).scopes == {"query"}
    file.write_text(f"alice {KEY}\nbob {KEY}\n")
    with pytest.raises(ValidationError, match="line 2 of the keys") as caught:
        Settings(key_file=file)
    assert KEY not in str(caught.value)


def test_folders_of_datasets_are_named() -> None:
    assert Settings(datasets="pets=/data/pets, digits=/data/digits").datasets == {  # type: ignore[arg-type]
        "pets": Path("/data/pets"),
        "digits": Path("/data/digits"),
    }
    with pytest.raises(ValidationError, match="pets=/data/pets"):
        Settings(datasets="/data/pets")  # type: ignore[arg-type]


def test_operations_are_allowed_by_model() -> None:
    allow = Settings(allow="small=classify+saliency, large=").allow  # type: ignore[arg-type]
    assert allow == {"small": {"classify", "saliency"}, "large": frozenset()}


def test_where_all_keys_are_in_the_database_it_may_listen_anywhere() -> None:
    assert Settings(host="0.0.0.0", require_key=True).needs_key
    assert not Settings().needs_key
