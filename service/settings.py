"""What an operator may set: by `RAKINGLIGHT_<NAME>`, or by a line in the TOML file that `RAKINGLIGHT_CONFIG` names.

The environment wins over the file. The descriptions here are those of `docs/settings.md`.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rakinglight.errors import near
from service.keys import Keyring, View

MIB = 2**20


class Settings(BaseSettings):
    """Everything that can be set. The defaults serve one machine, on loopback, with no key."""

    model_config = SettingsConfigDict(
        env_prefix="RAKINGLIGHT_", extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Path = Field(
        Path(".rakinglight"),
        description="Folder of all that is kept: archives, jobs, sockets, logs, measurements (`probes.json`).",
    )
    host: str = Field(
        "127.0.0.1", description="Address that both doors listen on. Other than loopback needs a key, or `require_key`."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port of REST; 0 takes a free one.")
    grpc_port: int = Field(8001, ge=0, le=65535, description="Port of gRPC; 0 takes a free one.")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("efficientnet-lite0", "lenet5-digits"), min_length=1, description="Models to serve, separated by commas."
    )
    targets: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Models elsewhere that are asked over HTTP, and appear as models here: target files, by commas, or "
        "folders of them.",
    )
    engine: Literal["torchserve", "local"] = Field(
        "torchserve", description="Who runs the networks: TorchServe's workers, or one child process without Java."
    )
    archive_folder: Path | None = Field(
        None,
        description="Folder of the model archives, which is only read; without it, one in `home`, filled as needed.",
    )
    engine_sockets: Path | None = Field(
        None, description="Folder of the sockets of a TorchServe that somebody else runs; without it, one is started."
    )

    key: SecretStr | None = Field(None, description="The one key, with all scopes. Prefer `key_file`.")
    key_file: Path | None = Field(
        None,
        description="File that holds the key, so that it is in no environment; or several, one a line: NAME SECRET "
        "(all scopes but admin), or NAME SCOPE,SCOPE SECRET. What one has submitted or uploaded, the others do not "
        "see.",
    )
    require_key: bool | None = Field(
        None,
        description="Whether who shows no key is turned away; without it, where `key` or `key_file` is set. Set it for "
        "a service whose keys are all in the database (`rakinglight keys make`).",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names besides loopback's by which this service may be called where no key guards it."
    )
    open_metrics: bool = Field(
        True, description="Whether `/metrics` needs no key on loopback; not so behind a proxy on the same machine."
    )
    reflection: bool = Field(True, description="Whether gRPC tells its own schema to who asks.")
    allow: Annotated[dict[str, frozenset[str]], NoDecode] = Field(
        {},
        description="The operations that a model is for, of models that are not for all: "
        "MODEL=OPERATION+OPERATION, by commas.",
    )
    require_purpose: bool = Field(
        False,
        description="Whether an attack needs a `purpose`; then none is taken on either while the ledger cannot be "
        "written.",
    )

    black_box: bool = Field(
        False, description="Whether the service is a black box to everybody, as by `rakinglight serve --black-box`."
    )
    view: View = Field(
        "label", description="What a black box shows of its answers to who has no key that says it, from least to most."
    )
    answers_s: float = Field(
        86_400.0, gt=0, description="Seconds for which a black box's answer is kept for who sends its request again."
    )
    ledger_s: float = Field(365 * 86_400.0, gt=0, description="Seconds for which an entry of the ledger is kept.")
    ledger_images: bool = Field(
        False, description="Whether the ledger keeps the images of its entries, and not only their SHA-256."
    )

    database: SecretStr | None = Field(
        None,
        description="URL of the database of jobs: postgresql://user:password@host/name, or sqlite:///path. Without it, "
        "a SQLite file in `home`.",
    )
    artifacts: str | None = Field(
        None,
        description="Where results, states and datasets lie: a folder, or any URL that fsspec opens, such as "
        "s3://bucket/folder. Without it, a folder in `home`.",
    )
    retention_s: float = Field(
        7 * 86_400.0, gt=0, description="Seconds for which a job and its results are kept after its end."
    )
    href_s: float = Field(
        3600.0, gt=0, description="Seconds for which what was too large for a reply can be fetched by its href."
    )
    inline_bytes: int = Field(
        8_000_000,
        ge=1024,
        description="Largest array or picture that stands in a JSON reply; larger ones have an href.",
    )
    worker_jobs: int = Field(4, ge=1, le=64, description="Jobs that one job process works on at once.")
    worker_images: int = Field(8, ge=1, le=64, description="Images of one job that are asked about at once.")
    queued_jobs: int = Field(
        1000, ge=1, description="Jobs of one owner that may wait or run; more are refused with 503."
    )
    job_deadline_s: float = Field(
        86_400.0,
        gt=0,
        description="Seconds that a job may work if it names no deadline; also the longest that it may name.",
    )
    state_s: float = Field(2.0, gt=0, description="Seconds between two saved states of a run of a job.")
    takeover_s: float = Field(
        15.0, ge=1, description="Seconds without a sign of life after which a worker's jobs are given to others."
    )
    datasets: Annotated[dict[str, Path], NoDecode] = Field(
        {}, description="Folders of images by class that everybody may use as datasets: NAME=FOLDER, by commas."
    )
    dataset_bytes: int = Field(
        256 * MIB, ge=1024, description="Most bytes of an uploaded dataset, and unpacked 4 times that."
    )
    dataset_images: int = Field(10_000, ge=1, description="Most images of one dataset.")
    dataset_s: float = Field(30 * 86_400.0, gt=0, description="Seconds for which an uploaded dataset is kept.")
    many_images: int = Field(1000, ge=1, description="Most images of one job that names a dataset.")

    body_bytes: int = Field(64 * MIB, ge=1024, description="Most bytes of one request.")
    reply_bytes: int = Field(64 * MIB, ge=1024, description="Most bytes of one reply.")
    images: int = Field(16, ge=1, description="Most images of one request.")
    image_pixels: int = Field(25_000_000, ge=1, description="Most pixels of one image, once decoded.")
    image_side: int = Field(16_384, ge=1, description="Most pixels of an image's longer side.")
    request_pixels: int = Field(100_000_000, ge=1, description="Most pixels of all images of one request together.")
    attack_pixels: int = Field(4_000_000, ge=1, description="Most pixels of an image that is attacked at its own size.")
    maps: int = Field(16, ge=1, description="Most maps of one image that a request lays side by side (`compare`).")
    runs: int = Field(
        64, ge=1, description="Most runs of a request that compares, images times maps: as many as are live at once."
    )
    steps: int = Field(1000, ge=1, le=1000, description="Most steps of one run.")
    masks: int = Field(10_000, ge=1, le=10_000, description="Most masks of one run.")
    rows: int = Field(
        20_000, ge=1, description="Most rows that one image may send through a network; the maps compared share them."
    )
    deadline_s: float = Field(60.0, gt=0, description="Seconds that a request may take if it names no deadline.")
    deadline_limit_s: float = Field(600.0, gt=0, description="The longest deadline that a request may name, seconds.")

    live_runs: int = Field(64, ge=1, description="Runs (one an image) that the engine works on at once.")
    waiting_runs: int = Field(128, ge=0, description="Runs that may wait behind them; more are refused with 503.")
    bytes_in_flight: int = Field(
        1024 * MIB, ge=MIB, description="Most bytes of bodies and decoded images under way; more are refused with 503."
    )
    connections: int = Field(512, ge=1, description="Most connections of REST at once; more are refused with 503.")
    head_s: float = Field(10.0, gt=0, description="Seconds that the head of a request may take to arrive.")
    upload_s: float = Field(60.0, gt=0, description="Seconds that the body of a request may take to arrive.")
    grace_s: float = Field(30.0, ge=0, description="Seconds that requests under way have to finish at a stop.")
    heartbeat_s: float = Field(15.0, gt=0, description="Seconds of silence after which an event stream says it lives.")

    decoders: int = Field(2, ge=1, le=64, description="Processes that decode images.")
    decode_s: float = Field(10.0, gt=0, description="Seconds that decoding one image may take.")
    decode_bytes: int = Field(1536 * MIB, ge=256 * MIB, description="Address space of a decoding process.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines, or lines for people; auto is lines for people on a terminal."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get("RAKINGLIGHT_CONFIG"):
            if not Path(path).is_file():
                raise ValueError(f"RAKINGLIGHT_CONFIG names {path!r}, which is no file.")
            sources += (TomlConfigSettingsSource(settings_cls, Path(path)),)
        return sources

    @field_validator("models", "targets", "allowed_hosts", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("datasets", mode="before")
    @classmethod
    def _named_folders(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if any(not (name and equals and folder) for name, equals, folder in pairs):
            raise ValueError(f"datasets is {value!r}; it looks like pets=/data/pets,digits=/data/digits.")
        return {name: folder for name, _, folder in pairs}

    @field_validator("allow", mode="before")
    @classmethod
    def _operations(cls, value: Any) -> Any:
        if isinstance(value, str):
            pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
            if any(not (model and equals) for model, equals, _ in pairs):
                raise ValueError(f"allow is {value!r}; it looks like lenet5-digits=classify+saliency.")
            value = {model: frozenset(filter(None, names.split("+"))) for model, _, names in pairs}
        if isinstance(value, dict) and value:
            from rakinglight.catalogue import OPERATIONS

            for name in sorted(set().union(*value.values()) - set(OPERATIONS)):
                raise ValueError(f"allow names {name!r}, which is no operation: {near(name, OPERATIONS)}")
        return value

    @model_validator(mode="after")
    def _guarded(self) -> Settings:
        if self.key is not None and self.key_file is not None:
            raise ValueError("key and key_file are both set; keep one, best the file.")
        Keyring(self.keys)  # names what is wrong with them
        if not self.needs_key and not self.on_loopback:
            raise ValueError(
                f"host is {self.host!r}, which others can reach, and there is no key. Set RAKINGLIGHT_KEY_FILE to a "
                "file with a long random key (openssl rand -hex 32), or leave the host at 127.0.0.1. Where all keys "
                "are in the database, set RAKINGLIGHT_REQUIRE_KEY."
            )
        if self.engine_sockets is not None and self.engine == "local":
            raise ValueError("engine_sockets names a TorchServe and engine is 'local'; keep one of the two.")
        if self.archive_folder is not None and self.engine_sockets is None:
            raise ValueError("archive_folder is for a TorchServe that somebody else runs; set engine_sockets as well.")
        if self.deadline_s > self.deadline_limit_s:
            raise ValueError(f"deadline_s is {self.deadline_s:g}, over its own limit of {self.deadline_limit_s:g}.")
        return self

    @property
    def needs_key(self) -> bool:
        """Whether who shows no key is turned away."""
        has_keys = self.key is not None or self.key_file is not None
        return has_keys if self.require_key is None else self.require_key

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the doors."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def keys(self) -> bytes | None:
        """The keys as `Keyring` reads them, from where they lie. Raises ValueError where that cannot be read."""
        if self.key is not None:
            return self.key.get_secret_value().encode()
        if self.key_file is None:
            return None
        try:
            return self.key_file.read_bytes()
        except OSError as e:
            raise ValueError(f"key_file {str(self.key_file)!r} cannot be read: {e.strerror}.") from None
