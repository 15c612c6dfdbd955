"""The command line of `python -m bench`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bench.experiments.reconnect import AGENTS
from bench.experiments.scale import CLIENTS, NAMES
from bench.pairs import PAIRS

SOAK_CONNECTIONS = 100_000
RESULTS = Path(__file__).with_name("results")

DESCRIPTION = """\
Measures a pair of gateways: TCP client -> cloud -> TLS tunnel -> on-prem -> TCP server, all on this machine's loopback, with
the same client, the same server and the same certificates (mutual TLS 1.3, EC P-256) for every pair.

  python -m bench                  our pair beside a direct connection, about a minute
  python -m bench --peers          beside ssh -R, stunnel, haproxy, nginx, socat (and chisel, frp, rathole where installed);
                                   add --install to have the missing ones installed by apt-get
  python -m bench --peers --quick  the same in little more than a minute, good for factors, not for per cents
  python -m bench --soak           100 000 connections: does memory stay flat?
  python -m bench --stall          clients that stop reading: do the others keep their rate?
  python -m bench --scale          10 000 idle clients, 1 000 names: what does each cost?
  python -m bench --path           a long line and a slow one: are they filled, shared, and interactive bytes not kept waiting? (root)
  python -m bench --reconnect      1 000 agents lose their tunnels at once: how soon are they back, and who notices?
  python -m bench --workers        one gateway as one process and as two: how many more connections does it take?
  python -m bench.compare main~1   this tree against another commit, in turns (has a --help of its own)
"""

EPILOG = """\
How to read it. MB/s is 10^6 bytes a second until the far end has acknowledged the last byte. CPU s/GB is what both gateways
together used, children included: the steadiest of all figures on a busy machine, so look there first. Round trips are one
connection, 64 bytes, with everything on one core or on two. New connections are connect, one byte there and back, close, 50
at once. Memory is resident memory; an idle client's is the growth of both gateways with many of them connected, divided.
Before anything is timed, every byte of a pattern is checked both ways; a pair that loses one is not measured.

Absolute figures hold for one machine and one run. Ratios within a run travel better: see docs/performance.md.

exit status  0 measured (and every experiment passed)
             1 our pair failed, lost bytes, or an experiment did not pass
             2 the command line or this machine does not allow it (no compiler, no such pair, limits)
             3 with --strict: measured, and a target was missed
           130 interrupted; everything that was started has been stopped
"""


def parser() -> argparse.ArgumentParser:
    """The parser, help texts included."""
    found = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = found.add_argument_group("which pairs")
    which.add_argument("--peers", action="store_true", help="all pairs that this machine can run")
    which.add_argument("--pairs", metavar="A,B,…", type=_pairs, help=f"just these, of: {', '.join(PAIRS)}")
    which.add_argument(
        "--install", action="store_true", help="have apt-get install the missing Debian ones first"
    )
    which.add_argument(
        "--list", action="store_true", help="say which pairs there are, which can run, and stop"
    )
    how = found.add_argument_group("how much")
    how.add_argument("--quick", action="store_true", help="short transfers, two rounds")
    how.add_argument("--rounds", metavar="N", type=_positive, help="rounds in which all pairs take turns")
    how.add_argument(
        "--cores",
        metavar="A,B",
        type=_cores,
        default=None,
        help="cores to run on (default: the first two allowed)",
    )
    instead = found.add_argument_group(
        "experiments with our pair, instead of the table (several may be given)"
    )
    instead.add_argument(
        "--soak",
        metavar="N",
        type=_positive,
        nargs="?",
        const=SOAK_CONNECTIONS,
        help=f"N connections ({SOAK_CONNECTIONS})",
    )
    instead.add_argument("--stall", action="store_true", help="clients that stop reading beside busy ones")
    instead.add_argument(
        "--scale", metavar="N", type=_positive, nargs="?", const=CLIENTS, help=f"N idle clients ({CLIENTS})"
    )
    instead.add_argument(
        "--names", metavar="N", type=_positive, default=NAMES, help=f"names for --scale ({NAMES})"
    )
    instead.add_argument(
        "--path",
        action="store_true",
        help="a line of 25 ms each way, and one of 20 Mbit/s, between network namespaces (root; left out elsewhere)",
    )
    instead.add_argument(
        "--workers", action="store_true", help="one gateway as one process and as two (--workers)"
    )
    instead.add_argument(
        "--reconnect",
        metavar="N",
        type=_positive,
        nargs="?",
        const=AGENTS,
        help=f"N agents that are cut, and whose gateway is killed and started again ({AGENTS})",
    )
    out = found.add_argument_group("what comes out")
    out.add_argument(
        "--out", metavar="DIR", type=Path, default=RESULTS, help=f"where results go (default: {RESULTS})"
    )
    out.add_argument(
        "--keep", metavar="DIR", type=Path, help="keep configuration files and logs of all programs here"
    )
    out.add_argument(
        "--publish", action="store_true", help="put the tables and plots into docs/performance.md"
    )
    out.add_argument("--strict", action="store_true", help="exit with 3 when a target is missed")
    return found


def default_cores() -> tuple[int, ...]:
    """The first two cores that we may use: the figures are to be compared between machines of any size."""
    return tuple(sorted(os.sched_getaffinity(0)))[:2]


def _pairs(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PAIRS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"no such pair: {', '.join(unknown) or 'none named'}; there are {', '.join(PAIRS)}"
        )
    return [name for name in PAIRS if name in names]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _cores(text: str) -> tuple[int, ...]:
    allowed: Sequence[int] = sorted(os.sched_getaffinity(0))
    wanted = text.split(",")
    if not all(item.isdigit() and int(item) in allowed for item in wanted):
        raise argparse.ArgumentTypeError(f"{text!r}: cores are numbers of {', '.join(map(str, allowed))}")
    return tuple(dict.fromkeys(int(item) for item in wanted))
