"""The command `rakinglight`, and `python -m rakinglight`: quiet on Ctrl-C from the first import on."""

from __future__ import annotations

import sys


def main() -> None:
    """Read the command line and do what it says. Leaves with an exit code (`rakinglight.cli`)."""
    try:
        from rakinglight import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
