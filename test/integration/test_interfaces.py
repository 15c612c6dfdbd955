"""Interfaces, IPv6 and wildcards, in a network namespace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SCRIPT = """
set -e
ip link set lo up
ip link add kwic0 type veth peer name kwic1 || exit 77
echo 1 > /proc/sys/net/ipv6/conf/kwic0/addr_gen_mode || exit 77
ip link set kwic0 up
ip link set kwic1 up
exec "$0" -m twisted.trial --temp-directory="$1" test.integration.real_interfaces
"""


class NamespaceTests(SynchronousTestCase):
    """The tests of `real_interfaces`."""

    def test_there(self) -> None:
        """They pass there."""
        tools = shutil.which("unshare") and shutil.which("ip")
        if not tools or subprocess.call(["unshare", "-n", "-m", "true"]):
            self.skipTest("needs unshare, ip, and the right to make network namespaces")
        done = subprocess.run(
            ["unshare", "-n", "-m", "sh", "-c", SCRIPT, sys.executable, str(Path(self.mktemp()).absolute())],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        if done.returncode == 77:
            self.skipTest("this kernel has no veth or no IPv6")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("successes=5", done.stdout)
