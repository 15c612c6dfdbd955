"""Configuration files on disk, with stores, for the commands that read them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Security, Store
from test.config.text import gateway
from test.transport.tls_ends import Scene


def security_of(security: Security) -> str:
    """The element that names the stores."""
    return f"<security>{_store('keystore', security.keystore)}{_store('truststore', security.truststore)}</security>"


def _store(tag: str, store: Store | None) -> str:
    if store is None:
        return ""
    return f"<{tag}><file>{store.file.name}</file><password-file>{store.password_file.name}</password-file></{tag}>"


class FilesTestCase(SynchronousTestCase):
    """A folder for files and stores, and a way to type commands."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.patch(os, "environ", {})

    def write(self, name: str, *parts: str) -> str:
        """:returns: the path of a file with these parts."""
        path = self.folder / name
        path.write_text(gateway(*parts), encoding="utf-8")
        return str(path)

    def type(self, verb: Any, *words: str) -> tuple[int, str, str]:
        """:returns: exit status, standard output, standard error of a verb."""
        options = verb.Options()
        options.parseOptions([str(word) for word in words])
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return verb.run(options), self.plain(out.getvalue()), self.plain(err.getvalue())

    def plain(self, text: str) -> str:
        """A text without the name of the folder, which is another one each time."""
        return text.replace(f"{self.folder.absolute()}/", "").replace(f"{self.folder}/", "")


class StoresTestCase(FilesTestCase):
    """As above, with two authorities."""

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(self.folder)
