"""The house's plan: which way the arrows point, and what a process does not load."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("rakinglight", "service", "handlers", "model_store", "protos", "benchmarks", "tests")

#: What each package may import of the others. `handlers` and `service` meet in `rakinglight` alone.
MAY_IMPORT = {
    "rakinglight": {"model_store"},  # `--local` builds a missing archive: see below
    "handlers": {"rakinglight"},
    "model_store": {"rakinglight"},
    "service": {"rakinglight", "protos", "model_store", "handlers"},
}
#: Arrows against the grain, each at one place only.
EXCEPTIONS = {("rakinglight", "model_store"): {"rakinglight/in_process.py", "rakinglight/cli.py"}}

#: In the same process as the gateway, or a caller's own.
WITHOUT_TORCH = (
    "rakinglight",
    "rakinglight.client",
    "rakinglight.cli",
    "service.serve",
    "service.rest",
    "service.grpc_door",
)


def modules(room: str) -> list[Path]:
    return [path for path in (ROOT / room).rglob("*.py") if "gen" not in path.parts]


def imported(path: Path) -> Iterator[str]:
    """The rooms that the file at `path` imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    for path in modules(room):
        own = {room} | MAY_IMPORT[room]
        for other in set(imported(path)) & set(ROOMS) - own:
            pytest.fail(f"{path.relative_to(ROOT)} imports {other}")
        for other in set(imported(path)) & set(MAY_IMPORT):
            if allowed := EXCEPTIONS.get((room, other)):
                assert path.relative_to(ROOT).as_posix() in allowed, f"{path.relative_to(ROOT)} imports {other}"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_the_gateway_and_the_client_load_no_torch(module: str) -> None:
    heavy = ("torch", "onnxruntime", "sklearn", "scipy")
    script = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split()) == (0, []), found.stderr


@pytest.mark.parametrize("room", [*MAY_IMPORT, "benchmarks"])
def test_no_file_needs_a_map(room: str) -> None:
    long = {p.relative_to(ROOT).as_posix(): n for p in modules(room) if (n := len(p.read_text().splitlines())) > 550}
    assert not long


def test_every_public_name_is_there() -> None:
    import rakinglight

    names = [f"rakinglight.{found.name}" for found in pkgutil.walk_packages(rakinglight.__path__)]
    public = {name: getattr(importlib.import_module(name), "__all__", ()) for name in ["rakinglight", *names]}
    missing = [f"{name}.{each}" for name in public for each in public[name] if not hasattr(sys.modules[name], each)]
    assert not missing
    assert "connect" in public["rakinglight"]


def test_no_public_name_is_also_a_module() -> None:
    import rakinglight

    # Importing the module would put it in the name's place.
    modules = {found.name for found in pkgutil.iter_modules(rakinglight.__path__)}
    assert modules.isdisjoint(rakinglight.__all__)


def test_the_wheel_holds_the_library_alone() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["rakinglight"]


def test_one_version_number() -> None:
    import rakinglight

    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {rakinglight.__version__}" in changes
