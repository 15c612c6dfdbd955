"""
Runs schedules of faults from seeds.

    python -m test.sim --seed 4711 --trace       one schedule, with its timeline
    python -m test.sim --schedules 1000          many, on all cores
"""

from __future__ import annotations

import sys

from test.sim.command import main

sys.exit(main(sys.argv[1:]))
