"""The switch between the machines: a bridge in the laboratory's own network namespace, and the cuts made in it.

Packets are lost and held up *between* the machines, so that neither end can tell a fault from a bad line. Loss is an iptables
rule on the bridge; delay is a queue to a small program (delay.py), because not every kernel has ``netem``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from test.lab.machine import ROOT, Machine, MachineError, run

BRIDGE = "lab0"
GATE = "172.34.0.1"  # the laboratory's own address on the bridge: it can reach every machine, and no cut touches it
PREFIX = 24
QUEUE = 7  # the netfilter queue of delay.py


def port_of(machine: Machine) -> str:
    """The name of the switch's port for a machine."""
    return f"p-{machine.name}"[:15]


class Switch:
    """The bridge, its ports and its cuts.

    :param folder: where the delay program logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._delay: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the bridge and let its packets pass through iptables."""
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])
        run(["ip", "addr", "add", f"{GATE}/{PREFIX}", "dev", BRIDGE])
        run(["ip", "link", "set", BRIDGE, "up"])
        call = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        if not call.exists():
            run(["modprobe", "br_netfilter"], check=False)
        if not call.exists():
            raise MachineError("this kernel has no br_netfilter, so bridged packets cannot be cut")
        call.write_text("1\n")

    def plug(self, machine: Machine, pid: int) -> None:
        """Give a machine its ``eth0`` on this switch.

        :param machine: the machine.
        :param pid: the process that holds its namespaces.
        """
        port = port_of(machine)
        run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        # one packet, one frame: a "lost packet" must not be a lost 64 KiB super-packet
        run(["ip", "link", "set", port, "master", BRIDGE, "gso_max_segs", "1", "up"])
        machine.run(["ip", "link", "set", "eth0", "gso_max_segs", "1", "multicast", "on", "up"])
        machine.run(["ip", "addr", "add", f"{machine.address}/{PREFIX}", "dev", "eth0"])
        machine.run(["ip", "route", "add", "default", "via", GATE])

    def cable(self, machine: Machine, *, plugged: bool) -> None:
        """Pull a machine's cable, or plug it in again.

        :param machine: whose.
        :param plugged: whether it is in.
        """
        run(["ip", "link", "set", port_of(machine), "up" if plugged else "down"])

    def drop(self, source: Machine | None, target: Machine | None, probability: float = 1.0) -> None:
        """Lose packets on one way; :meth:`mend` ends it.

        :param source: from whom; None for everybody.
        :param target: to whom; None for everybody.
        :param probability: 1.0 for all of them.
        """
        some = ["-m", "statistic", "--mode", "random", "--probability", str(probability)]
        self._rule([*self._between(source, target), *(some if probability < 1 else []), "-j", "DROP"])

    def delay(self, source: Machine, target: Machine, delay_s: float) -> None:
        """Hold packets up on one way (one delay at a time in the whole laboratory).

        :param source: from whom.
        :param target: to whom.
        :param delay_s: for how long.
        """
        if self._delay is None:
            self._delay = subprocess.Popen(
                [sys.executable, "-m", "test.lab.delay", str(QUEUE), str(delay_s)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=(self._folder / "delay.log").open("ab"),
            )
            assert self._delay.stdout is not None
            if self._delay.stdout.readline().strip() != b"queueing":
                self.mend()
                raise MachineError("this kernel has no netfilter queue, so packets cannot be held up")
        self._rule([*self._between(source, target), "-j", "NFQUEUE", "--queue-num", str(QUEUE)])

    def firewall(self, outside: list[Machine], inside: list[Machine]) -> None:
        """Let nobody outside open a TCP connection to anybody inside; this one stays.

        :param outside: the cloud.
        :param inside: the data centre.
        """
        for source in outside:
            for target in inside:
                run(["iptables", "-w", "-A", "FORWARD", *self._between(source, target), "-p", "tcp", "--syn",
                     "-j", "REJECT", "--reject-with", "tcp-reset"])  # fmt: skip

    def mend(self) -> int:
        """End every cut and every delay.

        :returns: how many packets they had to do with.
        """
        rules = run(["iptables", "-w", "-t", "mangle", "-L", "FORWARD", "-v", "-x", "-n"]).splitlines()[2:]
        run(["iptables", "-w", "-t", "mangle", "-F", "FORWARD"])
        if self._delay is not None:
            self._delay.kill()
            self._delay.wait()
            assert self._delay.stdout is not None
            self._delay.stdout.close()
            self._delay = None
        return sum(int(rule.split()[0]) for rule in rules)

    def _rule(self, rule: list[str]) -> None:
        # cuts stand in "mangle", the firewall in "filter": mending never opens the firewall
        run(["iptables", "-w", "-t", "mangle", "-A", "FORWARD", *rule])

    @staticmethod
    def _between(source: Machine | None, target: Machine | None) -> list[str]:
        return [
            *(["-s", source.address] if source else []),
            *(["-d", target.address] if target else []),
        ]
