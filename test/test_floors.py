"""The four floors of the house: imports run downward only."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import kwic

ROOT = Path(kwic.__file__).parent
FLOORS = {
    "errors": 0,
    "config": 0,
    "wire": 0,
    "policy": 0,
    "transport": 1,
    "service": 2,
    "cli": 3,
    "tap": 3,
    "logfile": 3,
    "memory": 3,
    "__init__": 0,
    "__main__": 3,
}
FORBIDDEN_ON_FLOOR_0 = {"twisted", "autobahn", "OpenSSL", "txaio", "time", "random"}


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}: imports are absolute here, so that the floors can be read off them"
            )
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def floor_of(path: Path) -> int:
    """The floor a file of ours stands on."""
    return FLOORS[path.relative_to(ROOT).parts[0].removesuffix(".py")]


class FloorTests(SynchronousTestCase):
    """The shape of the house."""

    def test_imports_run_downward(self) -> None:
        """No file imports from a floor above its own."""
        files = sorted(ROOT.rglob("*.py"))
        self.assertGreater(len(files), 8)
        for path in files:
            for module in imported_modules(path):
                head, _, rest = module.partition(".")
                if head != "kwic" or not rest:
                    continue
                below = FLOORS.get(rest.split(".")[0], 0)
                self.assertLessEqual(below, floor_of(path), f"{path.relative_to(ROOT)} imports {module}")

    def test_floor_0_touches_nothing(self) -> None:
        """Floor 0 knows no reactor, no TLS, no clock and no dice."""
        for path in sorted(ROOT.rglob("*.py")):
            if floor_of(path) == 0:
                heads = {module.split(".")[0] for module in imported_modules(path)}
                self.assertFalse(heads & FORBIDDEN_ON_FLOOR_0, f"{path.relative_to(ROOT)}: {heads}")
