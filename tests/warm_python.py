"""Runs Python programs one after another, each in a process of its own that begins with the large packages loaded.

    {"arguments": ["-c", code] or ["-m", module, ...], "folder", "environment", "output"}  ->  {"code"}

Lines of JSON come in and go out. A program is run as `python` would, in `folder`, its two streams in the files
`output`/stdout and `output`/stderr. Nothing of this project is loaded before: what a program forgets to import is
missing here too.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

# They take seconds, and start nothing that a fork would lose.
import numpy  # noqa: F401
import PIL.Image  # noqa: F401
import torch  # noqa: F401


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            run(asked)
            return  # as a program ends: what it left to be done at its exit is done
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


def run(asked: dict[str, Any]) -> None:
    for number, (name, flags) in enumerate((("", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))):
        path = Path(asked["output"]) / name if name else Path(os.devnull)
        os.dup2(os.open(path, flags | (os.O_CREAT | os.O_TRUNC if name else 0)), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    kind, what, *arguments = asked["arguments"]
    sys.path[0] = "" if kind == "-c" else asked["folder"]
    sys.argv = [kind, *arguments]
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
