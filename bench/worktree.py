"""Another commit of this repository, laid out beside it for as long as it is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import SetupError


def resolve(root: Path, name: str) -> str:
    """The full id of a commit.

    :param root: the repository.
    :param name: whatever git understands: a branch, a tag, `HEAD~3`, part of an id.
    :raises SetupError: when git knows no such commit.
    """
    return _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") or _unknown(root, name)


@contextmanager
def checked_out(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """Lays a commit out, detached; afterwards nothing of it is left, in the repository's own notes neither.

    :param root: the repository.
    :param commit: its id.
    :param folder: a place that does not exist yet.
    :raises SetupError: when git refuses.
    """
    folder = folder.resolve()
    _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit, required=True)
    try:
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _git(root: Path, *arguments: str, required: bool = False) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise SetupError(f"git is needed to lay out another commit: {error}") from error
    if done.returncode and required:
        raise SetupError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout.strip() if done.returncode == 0 else ""


def _unknown(root: Path, name: str) -> str:
    raise SetupError(f"git knows no commit {name!r} in {root}")
