"""From a recipe, or from an ONNX file, to an archive (`rakinglight.archives` says what is in one).

`torch-model-archiver` packs it, in a process of its own with a temporary folder of its own: it works under the model's
name in the system's, where two at once would meet. Its zip is then written anew without times: the same sources, the
same bytes.

Beside an archive stands a record of what it was made from, by which `ensure` knows, without torch, whether it is out of
date.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, flock
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile, copyfileobj
from tempfile import TemporaryDirectory
from zipfile import ZipFile, ZipInfo

from rakinglight.errors import BadParameter, InternalError

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
HANDLER = HERE.parent / "handlers" / "rakinglight_handler.py"
#: What every archive is made by.
MAKERS = (HANDLER, *(HERE / name for name in ("build.py", "from_recipe.py", "from_onnx.py")))
#: Where the archiver says what an archive holds, and when it was made.
MANIFEST = "MAR-INF/MANIFEST.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Record:
    """What an archive was made from.

    arguments  of `python -m model_store build`, to make it again
    sources    path -> sha256 of every file that went in, or that made it
    """

    arguments: tuple[str, ...]
    sources: dict[str, str]

    @staticmethod
    def of(arguments: Iterable[str], sources: Iterable[Path]) -> Record:
        return Record(tuple(arguments), {str(path.resolve()): digest(path) for path in (*sources, *MAKERS)})

    @staticmethod
    def read(archive: Path) -> Record | None:
        try:
            raw = json.loads(_beside(archive).read_text("utf-8"))
            return Record(tuple(raw["arguments"]), dict(raw["sources"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, archive: Path) -> None:
        _beside(archive).write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    def holds(self) -> bool:
        """Whether every source is as it was. One that is gone can't have changed: the archive is what is left of it."""
        return all(digest(Path(path)) == was for path, was in self.sources.items() if Path(path).exists())


def ensure(names: Sequence[str], home: Path, say: Say) -> list[Path]:
    """The archives of `names` in `home`; what is missing or out of date is built first, and `say` is told.

    An archive without a record was put there by the operator and is left alone. Building takes torch and some memory,
    so it is done by a process of its own. Raises BadParameter with what that process said last, if it failed.
    """
    archives = [home / "archives" / f"{check_name(name)}.mar" for name in names]
    for name, archive in zip(names, archives, strict=True):
        if _is_current(archive):
            continue
        with _alone(archive):
            if _is_current(archive):  # somebody else was as early, and has built it meanwhile
                continue
            record = Record.read(archive)
            say(f"{'Renewing' if archive.exists() else 'Building'} the archive of {name} ...")
            arguments = record.arguments if record else (name,)
            command = [sys.executable, "-m", "model_store", "build", *arguments, "--home", str(home)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command
            if done.returncode:
                again = shlex.join(["python", *command[1:]])
                cause = _cause(done.stderr)
                raise BadParameter(f"The archive of {name} could not be built. {cause} Rebuild with: {again}")
            for line in done.stdout.splitlines():
                say(line)
    return archives


def _cause(stderr: str) -> str:
    """What a process said last, without where it was: the last line that begins at the margin, and what hangs on it."""
    lines = stderr.strip().splitlines() or ["it said nothing"]
    last = max((i for i, line in enumerate(lines) if line[:1].strip()), default=0)
    said = " ".join(line.strip() for line in lines[last:])
    return said if said[-1:] in ".?!" else f"{said}."


def _is_current(archive: Path) -> bool:
    record = Record.read(archive)
    return archive.exists() and (record is None or record.holds())


@contextmanager
def _alone(archive: Path) -> Iterator[None]:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def pack(folder: Path, name: str, version: str, home: Path, record: Record) -> Path:
    """The archive of `name` in `home`, with what is in `folder` and the handler. An older one is replaced at once."""
    archive = home.resolve() / "archives" / f"{check_name(name)}.mar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    members = sorted(path.name for path in folder.iterdir())
    copyfile(HANDLER, folder / HANDLER.name)
    with TemporaryDirectory(dir=archive.parent, prefix=f".{name}.") as packing:
        options = {
            "model-name": name,
            "version": version,
            "handler": HANDLER.name,
            "extra-files": ",".join(members),
            "export-path": packing,
            "archive-format": "zip-store",  # weights don't compress
        }
        done = subprocess.run(  # noqa: S603  our own command
            [Path(sys.executable).with_name("torch-model-archiver"), *(f"--{key}={options[key]}" for key in options)],
            cwd=folder,
            env={**os.environ, "TMPDIR": packing},
            capture_output=True,
            text=True,
            check=False,
        )
        packed, steady = Path(packing) / f"{name}.mar", Path(packing) / "steady"
        if done.returncode or not packed.exists():
            raise InternalError(f"torch-model-archiver could not pack {name}: {done.stderr.strip()}")
        _without_times(packed, steady)
        steady.replace(archive)
    record.write(archive)
    return archive


def check_name(name: str) -> str:
    """`name`, if it can stand in a URL and in a file's name. Raises BadParameter."""
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", name):
        raise BadParameter(
            f"{name!r} cannot be a model's name: it takes up to 64 lower-case letters, digits and hyphens, such as "
            "my-network."
        )
    return name


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _beside(archive: Path) -> Path:
    return archive.with_suffix(".sources.json")


def _without_times(packed: Path, steady: Path) -> None:
    """The zip `packed` once more as `steady`: in order, and with no date in it."""
    with ZipFile(packed) as old, ZipFile(steady, "w") as new:
        for member in sorted(old.namelist()):
            entry = ZipInfo(member)  # of 1980
            entry.external_attr = 0o644 << 16
            entry.file_size = old.getinfo(member).file_size
            with new.open(entry, "w") as place:
                if member == MANIFEST:
                    manifest = json.loads(old.read(member))
                    del manifest["createdOn"]
                    place.write(json.dumps(manifest, indent=2).encode())
                else:
                    with old.open(member) as content:
                        copyfileobj(content, place, 2**20)
