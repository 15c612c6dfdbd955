"""The measuring bench: the same client and sink through our pair of gateways and through the pairs of programs used instead.

`python -m bench` measures our pair beside a direct connection, `python -m bench --peers` beside every other pair that this
machine has, `python -m bench.compare BASE` one commit against another. docs/performance.md says how and why.
"""

from __future__ import annotations

import importlib.util
import sys


def _check_environment() -> None:
    """Says in a line what a traceback would say in twenty: that this is the wrong Python."""
    missing = [
        name for name in ("cryptography", "OpenSSL", "twisted") if importlib.util.find_spec(name) is None
    ]
    if missing:
        print(
            f"bench: {sys.executable} has no {', '.join(missing)}: run `make bench` once, then .venv/bin/python -m bench",
            file=sys.stderr,
        )
        sys.exit(2)


_check_environment()
