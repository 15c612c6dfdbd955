"""How to call `kwic demo` again, in the way it was called this time."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from kwic.cli.demo.folder import default_folder


def hint(words: str, folder: Path) -> str:
    """A command line to show.

    :param words: what follows `kwic demo`.
    :param folder: the demo's folder, named when it is not the usual one.
    """
    if folder != default_folder():
        words = f"--directory {shlex.quote(str(folder))} {words}"
    if os.environ.get("MAKELEVEL"):
        return f'make demo DEMO="{words}"'
    if Path(sys.argv[0]).name == "main.py":
        return f"{shlex.quote(sys.executable)} -m kwic.cli.main demo {words}"
    return f"kwic demo {words}"
