"""The demo's folder: what is needed to find a demo again that an earlier command left running."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from kwic.cli.demo.hint import hint
from kwic.errors import SetupError

RECORD = "demo.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the cast is made from.

    :param network: the first three numbers of the addresses.
    :param tls_port: the port that stands for 443.
    """

    network: str
    tls_port: int


class Home:
    """The folder of one demo: certificates, logs, pids, and the settings it was started with.

    :param folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.certificates = self.folder / "x509"
        self.run = self.folder / "run"
        self._record = self.folder / RECORD

    def prepare(self, settings: Settings) -> None:
        """Make the folder anew, for its owner's eyes only: keys are in it.

        :param settings: what to keep for later commands.
        :raises SetupError: when the folder is somebody else's, or has other things in it.
        """
        self._check_ours()
        self.remove()
        try:
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            self.run.mkdir()
            self._record.write_text(json.dumps(asdict(settings)))
        except OSError as e:
            raise SetupError(
                f"cannot write to {self.folder}: {e.strerror}; name another with --directory"
            ) from e

    def _check_ours(self) -> None:
        """Nothing of anybody else's may be overwritten."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir() or self.folder.stat().st_uid != os.getuid():
            raise SetupError(f"{self.folder} is not a folder of yours; name another with --directory")
        if any(self.folder.iterdir()) and not self._record.exists():
            raise SetupError(
                f"{self.folder} has other things in it; name a new folder, or an empty one, with --directory"
            )

    def settings(self) -> Settings:
        """The settings of the demo that was started here.

        :raises SetupError: when none was.
        """
        try:
            return Settings(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            raise SetupError(
                f"there is no demo in {self.folder}: `{hint('--keep', self.folder)}` starts one and leaves it running"
            ) from None
        except (OSError, ValueError, TypeError) as e:
            raise SetupError(
                f"{self._record} cannot be read ({e}); end the processes it was about, and remove {self.folder}"
            ) from e

    def remove(self) -> None:
        """Take away what a demo left in the folder, and the folder."""
        for inside in (self.certificates, self.run):
            shutil.rmtree(inside, ignore_errors=True)
        self._record.unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            pass  # it was not there, or has something else in it, which stays
