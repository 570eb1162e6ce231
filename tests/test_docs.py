"""Everything that a person can type, set, ask or meet is documented, and what the pages show is what happens."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rakinglight
from scripts import docs as made

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "scripts").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def words_in_code(text: str) -> set[str]:
    """What stands between backquotes, and each word of it."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {*spans, *(word for span in spans for word in re.findall(r"[\w./{}-]+", span))}


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ── what is read out of the code ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", made.PAGES, ids=by_name)
def test_made_parts_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert made.fresh(text) == text, "run `make docs`"


def test_every_part_is_on_a_page() -> None:
    found = {part["name"] for path in made.PAGES for part in made.PART.finditer(path.read_text(encoding="utf-8"))}
    assert found == set(made.PARTS)


def test_the_readme_names_every_method() -> None:
    from rakinglight.catalogue import OPERATIONS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", readme, re.MULTILINE)
    assert [(name, re.findall(r"`(\w+)`", methods)) for name, methods in rows] == [
        (operation.name, list(operation.by_name)) for operation in OPERATIONS.values()
    ]


def test_every_method_and_parameter() -> None:
    from rakinglight.catalogue import OPERATIONS

    known = words_in_code(page("methods.md"))
    for operation in OPERATIONS.values():
        for method in operation.methods or [None]:
            assert {operation.name, *operation.parameters(method).model_fields} <= known
            assert method is None or method.name in known


def test_every_error_says_what_to_do() -> None:
    from rakinglight.errors import CODES

    remedies = page("errors.md").partition("## What to do")[2]
    assert set(re.findall(r"^- \*\*`(\w+)`\*\*: \S", remedies, re.MULTILINE)) == set(CODES)


def test_every_setting() -> None:
    from service.settings import Settings

    assert all(field.description for field in Settings.model_fields.values())
    assert {f"RAKINGLIGHT_{name.upper()}" for name in Settings.model_fields} <= words_in_code(page("settings.md"))


def test_every_command_and_option() -> None:
    known = words_in_code(page("cli.md"))
    for command, options in made.commands().items():
        assert set(command.split()) <= known
        assert options <= known, command


def test_every_route() -> None:
    from service.keys import Keyring
    from service.rest import application
    from service.settings import Settings

    known = words_in_code(page("rest.md"))
    core: Any = SimpleNamespace(settings=Settings())
    routes = {f"{verb} {route.path}" for route in application(core, Keyring(None)).routes for verb in route.methods}
    assert "POST /api/v1/models/{model}/attack" in routes
    # The operations of one version are said in words.
    assert {route for route in routes if "{version}/" not in route} <= known


def test_every_call() -> None:
    from protos.gen.rakinglight.v1 import rakinglight_pb2

    calls = rakinglight_pb2.DESCRIPTOR.services_by_name["RakingLight"].methods_by_name
    assert set(calls) <= words_in_code(page("grpc.md"))


def test_every_model() -> None:
    from model_store.from_recipe import house

    assert set(house()) <= words_in_code(page("models.md"))


def test_every_target_and_script() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = subprocess.run(
        ["make", "--no-print-directory", "-s"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert targets == {line.split()[1] for line in shown.splitlines()}
    scripts = {path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix != ".md"}
    # Some have their Python beside them, under the same name.
    names = {path.name for path in scripts if path.with_suffix("") not in scripts - {path}}
    assert names <= words_in_code((ROOT / "scripts" / "README.md").read_text())


def test_every_word_is_in_the_glossary() -> None:
    table = [line for line in page("glossary.md").splitlines() if line.startswith("| ")]
    words = [line.split(" | ")[0].removeprefix("| ") for line in table][2:]
    assert words == sorted(words)
    asked = "algorithm query answer run step row pass view budget objective backend caller key recipe archive"
    assert set(asked.split()) <= set(words)


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_links_lead_somewhere(path: Path) -> None:
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in target or (path.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        found = re.findall(r"\]\(([^)#:\s]+\.md)\)", path.read_text(encoding="utf-8"))
        ahead += [(path.parent / target).resolve() for target in found]
    assert set(DOCS.rglob("*.md")) <= seen


# ── examples ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Example:
    """A block of a page, and the block of what it should answer, if one follows at once."""

    where: str
    language: str
    code: str
    answer: str | None


def examples(path: Path) -> Iterator[Example]:
    text = path.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    for i, block in enumerate(blocks):
        following = blocks[i + 1] if i + 1 < len(blocks) else None
        answers = following is not None and not text[block.end() : following.start()].strip()
        answer = following[2] if following is not None and answers and following[1] in ("json", "text") else None
        line = text.count("\n", 0, block.start()) + 1
        yield Example(f"{by_name(path)}:{line}", block[1], block[2], answer)


ALL = [example for path in PAGES for example in examples(path)]
CURLS = [e for e in ALL if e.language == "bash" and "curl " in e.code]
PROGRAMS = [e for e in ALL if e.language == "python" and re.search(r"^(import|from) ", e.code, re.MULTILINE)]
#: They need each other, and are run one after another.
OWN_NETWORK = [e for e in PROGRAMS if "MyNetwork" in e.code]
RUN = [e for e in PROGRAMS if e not in OWN_NETWORK]
QUOTED = [e for e in ALL if e.language == "python" and e not in PROGRAMS]


@pytest.fixture
def workplace(tmp_path: Path, archive_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the checkout to an example, and may be written to."""
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "chelsea.jpg", tmp_path / "docs")
    monkeypatch.setenv("RAKINGLIGHT_HOME", str(archive_store))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(code: str, service: Any) -> str:
    """`code`, aimed at the test's own service."""
    code = re.sub(r"http://127\.0\.0\.1:8000", service.url, code)
    return code.replace("127.0.0.1:8001", f"127.0.0.1:{service.grpc_port}")


@pytest.mark.parametrize("example", CURLS, ids=lambda e: e.where)
def test_curl_answers_what_the_page_says(
    example: Example, live_service: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAKINGLIGHT_DATABASE", live_service.database)
    found = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", here(example.code, live_service)], capture_output=True, check=True
    )
    if example.answer is None:
        events = [line.partition(b": ")[2].strip() for line in found.stdout.splitlines() if line.startswith(b"event")]
        pictures = list(workplace.glob("*.png"))
        assert events[-1:] == [b"result"] or (pictures and pictures[0].read_bytes().startswith(b"\x89PNG"))
    else:
        assert_answers(json.loads(found.stdout), json.loads(example.answer))


def assert_answers(answer: Any, said: Any, where: str = "") -> None:
    """All that the page says is in `answer`; `…` stands for anything, numbers are rounded to what is shown."""
    if said == "…":
        return
    if isinstance(said, dict):
        assert set(said) <= set(answer), where
        for name in said:
            assert_answers(answer[name], said[name], f"{where}/{name}")
    elif isinstance(said, list):
        assert len(answer) == len(said), where
        for i, (one, other) in enumerate(zip(answer, said, strict=True)):
            assert_answers(one, other, f"{where}/{i}")
    elif isinstance(said, float):
        assert answer == pytest.approx(said, abs=5e-6), where
    else:
        assert answer == said, where


Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Python]:
    """`python` with these arguments, in this folder; it ends with a code, and what it printed (`warm_python.py`)."""
    output, program = (
        tmp_path_factory.mktemp("printed"),
        [sys.executable, str(Path(__file__).with_name("warm_python.py"))],
    )
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            assert process.stdin is not None and process.stdout is not None
            asked = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
            process.stdin.write(json.dumps({**asked, "output": str(output)}) + "\n")
            process.stdin.flush()
            code = json.loads(process.stdout.readline())["code"]
            printed = [(output / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
            return subprocess.CompletedProcess(arguments, code, *printed)

        yield run
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("example", RUN, ids=lambda e: e.where)
def test_python_prints_what_the_page_says(
    example: Example, live_service: Any, workplace: Path, warm_python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAKINGLIGHT_DATABASE", live_service.database)
    found = warm_python("-c", here(example.code, live_service))
    assert found.returncode == 0, found.stderr
    assert example.answer in (None, found.stdout)


def test_a_network_of_one_s_own_goes_in_as_the_page_says(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, warm_python: Python
) -> None:
    recipe, training = OWN_NETWORK
    build = next(e.code for e in ALL if "build my_recipe.py" in e.code).splitlines()[0]
    monkeypatch.setenv("RAKINGLIGHT_HOME", "home")
    (workplace / "my_recipe.py").write_text(recipe.code)
    for command in (["-c", training.code], build.split()[1:]):
        warm_python(*command).check_returncode()

    (workplace / "my_recipe.py").unlink()  # the archive stands alone
    with rakinglight.local() as client:
        answer = client.model("my-network").classify("docs/chelsea.jpg")
    assert answer.prediction.label in ("cat", "dog")


def test_a_recipe_that_imports_its_neighbour_is_taught_otherwise(workplace: Path, warm_python: Python) -> None:
    (workplace / "broken_recipe.py").write_text("from lying_beside import MyNetwork\n")
    found = warm_python("-m", "model_store", "build", "broken_recipe.py", "--home", "home")
    assert found.returncode == 2
    assert "broken_recipe.py imports lying_beside" in found.stderr
    assert "write the network into the recipe" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("example", [e for e in ALL if e.language == "python"], ids=lambda e: e.where)
def test_python_parses(example: Example) -> None:
    body = textwrap.indent(example.code, "    ")
    ast.parse(f"def f():\n{body}")


@pytest.mark.parametrize("example", QUOTED, ids=lambda e: e.where)
def test_quoted_code_is_the_code(example: Example) -> None:
    source = (ROOT / "rakinglight" / "algorithms" / "pgd.py").read_text(encoding="utf-8")
    assert any(textwrap.indent(example.code, " " * deep) in source for deep in (4, 8))  # of a function, or of its loop


def test_commands_of_the_readme_exist() -> None:
    program = Path(sys.executable).with_name("rakinglight")
    shown = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^\.venv/bin/rakinglight (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        assert re.search(rf"^\W*{line.split()[0]}\s", shown, re.MULTILINE), line
