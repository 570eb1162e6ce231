"""Oracles: models that answer over HTTP, and of which nothing else can be had. Needs no torch.

from rakinglight.oracles import open_oracle

with closing(open_oracle("http://127.0.0.1:8000", "lenet5-digits", key)) as oracle:
    oracle.answer(np.zeros((1, 1, 32, 32), np.float32))     # logits [1, 10]

`rakinglight.black_box` is the client that runs the methods over one.
"""

from __future__ import annotations

from pathlib import Path

from rakinglight.errors import BadParameter
from rakinglight.oracles.described import Described
from rakinglight.oracles.dialect import Dialect, address, bare
from rakinglight.oracles.journal import Counts, Journal
from rakinglight.oracles.line import Line, loopback
from rakinglight.oracles.open_inference import MODEL, OpenInference
from rakinglight.oracles.oracle import Oracle
from rakinglight.oracles.ours import Ours
from rakinglight.oracles.target import Target, read_target
from rakinglight.views import UNNAMED

__all__ = [
    "UNNAMED",
    "Counts",
    "Journal",
    "Oracle",
    "Target",
    "host_of",
    "kind_of",
    "line_to",
    "on_this_machine",
    "open_oracle",
    "open_target",
    "read_where",
]


def read_where(where: str | Path, key: str | None = None) -> Target:
    """The target that `where` means: a TOML file, an address of the Open Inference Protocol, or one of our services.

    key  goes as a bearer token, unless a file says its own headers. Raises BadParameter
    """
    if isinstance(where, Path) or str(where).endswith(".toml"):
        target = read_target(Path(where))
        if any(name.lower() == "authorization" for name in target.headers) or not key:
            return target
    else:
        target = Target(url=str(address(where)))
    if not key:
        return target
    headers = {**target.headers, "Authorization": f"Bearer {key}"}
    return target.model_copy(update={"headers": headers, "secrets": (*target.secrets, key)})


def line_to(target: Target, *, patience: float | None = None, timeout: float | None = None, called: str = "") -> Line:
    """The line to `target`, which messages call by its address, or as `called`: nothing is sent yet."""
    return Line(
        bare(address(target.url)),
        secrets=target.secrets,
        patience=target.patience_s if patience is None else patience,
        timeout=timeout or target.timeout_s,
        called=called,
    )


def host_of(url: str) -> str:
    """The host that `url` names, with its port where it names one."""
    parsed = address(url)
    return f"{parsed.host}:{parsed.port}" if parsed.port else parsed.host


def on_this_machine(url: str) -> bool:
    """Whether `url` is of the loopback."""
    return loopback(str(address(url)))


def kind_of(target: Target) -> str:
    """The name of the dialect that `target` speaks."""
    if target.dialect:
        return target.dialect
    if target.body is not None:
        return "described"
    return "open-inference" if MODEL.match(bare(address(target.url))) else "rakinglight"


def open_target(
    target: Target,
    model: str | None = None,
    journal: Journal | None = None,
    *,
    canaries: float | None = None,
    patience: float | None = None,
    timeout: float | None = None,
    called: str = "",
) -> Oracle:
    """The oracle at `target`. It is asked what it is, where the target does not say.

    model   its name, where a service of ours has several
    called  what messages call it, instead of by its address
    """
    line = line_to(target, patience=patience, timeout=timeout, called=called)
    try:
        return Oracle(
            _dialect(target, model, line), line, journal, canaries=target.canaries if canaries is None else canaries
        )
    except BaseException:
        line.close()
        raise


def open_oracle(
    where: str | Path,
    model: str | None = None,
    key: str | None = None,
    journal: Path | None = None,
    *,
    canaries: float | None = None,
    patience: float | None = None,
    timeout: float | None = None,
) -> Oracle:
    """The oracle at `where`, as `read_where` has it.

    journal   the file that remembers what it answered; without one it is remembered until `close`
    canaries  the share of what is asked that is asked again; by default the target's, or 1 %
    patience  seconds of waiting after which a request is given up
    timeout   seconds that one try of it may take
    """
    target = read_where(where, key)
    kept = Journal(journal)
    try:
        oracle = open_target(target, model, kept, canaries=canaries, patience=patience, timeout=timeout)
    except BaseException:
        kept.close()
        raise
    oracle.owns_journal = True
    return oracle


def _dialect(target: Target, model: str | None, line: Line) -> Dialect:
    match kind_of(target):
        case "described":
            return Described(target)
        case "open-inference":
            return OpenInference.described(target, line)
        case _:
            named = target.model or model
            if not named:
                raise BadParameter(f"{bare(address(target.url))} may have several models; say which.")
            return Ours.described(target, named, line)
