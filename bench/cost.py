"""
What a client costs our pair, counted instead of timed: the function calls of both gateways, Python's and C's, for a new connection and for a round trip.

Calls are the same on a busy machine and on an idle one, so a build can hold them against the figures of the last change that was measured, in `cost.json`.
Twistd's own profiler counts them. What a call does inside – copies, system calls – it does not see: that is for `bench/compare`, which counts instructions or
CPU seconds.

    python -m bench.cost              counts, and says how that compares
    python -m bench.cost --write      makes what was counted the figures to hold to
"""

from __future__ import annotations

import argparse
import json
import pstats
import sys
from importlib.metadata import version
from pathlib import Path

from bench.errors import BenchError
from bench.lab import Lab
from bench.measures import AT_ONCE, LIMIT_S, MESSAGE_BYTES
from bench.options import default_cores
from bench.pairs.kwic import Kwic

FIGURES = Path(__file__).with_name("cost.json")

MARGIN = 1.1
"""More than this many times the figure is a regression: how many clients share a turn of the reactor varies a little."""

OTHER_MARGIN = 1.5
"""The same where Python or Twisted are others than when the figure was written."""

WARM_UP = 200
CONNECTIONS = 1_000
ROUND_TRIPS = 2_000


class Profiled(Kwic):
    """Our pair under twistd's profiler."""

    def twistd_options(self, side: str) -> tuple[str, ...]:
        """Where its profile goes."""
        return ("--savestats", f"--profile={self.profile(side)}", "--profiler=cprofile")

    def profile(self, side: str) -> Path:
        """Where the profile of one gateway is, once it has ended."""
        return self.folder / f"{side}.profile"

    def calls(self) -> int:
        """What both have called in all, once they have ended."""
        return sum(pstats.Stats(str(self.profile(side))).total_calls for side in ("cloud", "onprem"))  # type: ignore[attr-defined]


def count(lab: Lab) -> dict[str, int]:
    """Counts.

    :param lab: the bench.
    :returns: calls for one of each.
    """
    pair = Profiled(lab)
    calls = {
        "rest": _calls(pair, 0, 0),
        "connections": _calls(pair, CONNECTIONS, 0),
        "trips": _calls(pair, 0, ROUND_TRIPS),
    }
    return {
        "new connection": round((calls["connections"] - calls["rest"]) / CONNECTIONS),
        "round trip": round((calls["trips"] - calls["rest"]) / ROUND_TRIPS),
    }


def _calls(pair: Profiled, connections: int, trips: int) -> int:
    """The calls of one life of the pair."""
    pair.start()
    try:
        loadgen = pair.lab.loadgen
        loadgen.connects(pair.front_port, AT_ONCE, WARM_UP + connections, LIMIT_S)
        loadgen.ping(pair.front_port, WARM_UP + trips, MESSAGE_BYTES, LIMIT_S)
    finally:
        pair.stop()
    return pair.calls()


def runs_on() -> dict[str, str]:
    """What the figures depend on."""
    return {"python": "{}.{}".format(*sys.version_info), "twisted": version("Twisted")}


def compare(found: dict[str, int], figures: dict[str, dict[str, int]], here: dict[str, str]) -> list[str]:
    """What got worse.

    :param found: what was counted.
    :param figures: the contents of `cost.json`.
    :param here: what it was counted on.
    :returns: a line for each figure that is exceeded.
    """
    margin = MARGIN if figures["on"] == here else OTHER_MARGIN
    return [
        f"a {what} costs {calls} function calls, {calls / figures['calls'][what]:.2f} × the {figures['calls'][what]} of bench/cost.json; "
        f"{margin} × is allowed"
        for what, calls in found.items()
        if calls > margin * figures["calls"][what]
    ]


def main() -> int:
    """The command.

    :returns: 1 when something got worse.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="make what is counted the figures to hold to")
    options = parser.parse_args()
    try:
        with Lab(cores=default_cores()) as lab:
            found = count(lab)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for what, calls in found.items():
        print(f"{what:<16}{calls:6} function calls")
    if options.write:
        FIGURES.write_text(json.dumps({"on": runs_on(), "calls": found}, indent=1) + "\n", encoding="utf-8")
        return 0
    worse = compare(found, json.loads(FIGURES.read_text(encoding="utf-8")), runs_on())
    print("\n".join(worse) or "no more than bench/cost.json says")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
