"""Where things are: the folder of a user's demo, and the XML files of the scenarios."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kwic.cli.demo.process import SOURCE_ROOT
from kwic.errors import SetupError


def default_folder() -> Path:
    """One folder for each user, wherever the command is given."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "kwic-demo"
    return Path(tempfile.gettempdir()) / f"kwic-demo-{os.getuid()}"


def scenarios_folder() -> Path:
    """Where the XML files of the scenarios are: in the source tree, or inside the installed package.

    :raises SetupError: when they are in neither place.
    """
    places = (SOURCE_ROOT / "etc", SOURCE_ROOT / "kwic" / "_etc")
    for place in places:
        if (place / "ha").is_dir():
            return place
    raise SetupError(
        f"the scenario's files are missing: neither {places[0]}/ha nor {places[1]}/ha is there; install kwic again"
    )
