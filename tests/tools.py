"""Programs that pip cannot bring. A test that wants one asks here."""

import os
import shutil

import pytest


def need(program: str, *, package: str) -> str:
    """The path of `program`. Where it is missing, the test is skipped; with RAKINGLIGHT_NO_SKIPS=1 it fails.

    program  its name on the PATH
    package  the Debian package that has it, for who reads the message
    """
    if path := shutil.which(program):
        return path
    message = f"{program} is not installed; it comes with: apt install {package}"
    if os.environ.get("RAKINGLIGHT_NO_SKIPS") == "1":
        pytest.fail(message)
    pytest.skip(message)
