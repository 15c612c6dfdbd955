"""Machines of the laboratory: network, mount and host-name namespaces held by one sleeping process each.

Nothing has a name outside: the namespaces live as long as their holder, and the holders live inside the laboratory's own PID
namespace, so that even ``kill -9`` of the laboratory leaves nothing behind. (Named namespaces, ``ip netns add``, would.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

HOLD = """
set -e
echo "$1" > /proc/sys/kernel/hostname
for file in hosts resolv.conf host.conf nsswitch.conf; do
  mount --bind "$2/$file" "/etc/$file"
done
ip link set lo up
sysctl -q -w net.ipv4.tcp_tw_reuse=1 2>/dev/null || true
# a link-local address is ours at once, as on a machine that has been up for a while
sysctl -q -w net.ipv6.conf.default.accept_dad=0 2>/dev/null || true
echo held
exec sleep infinity
"""
ROOT = Path(__file__).resolve().parents[2]  # on PYTHONPATH of every program of the laboratory
HOST_CONF = "multi on\n"
NSSWITCH_CONF = "hosts: files dns\n"


class MachineError(Exception):
    """A command that makes the laboratory failed."""


def run(argv: Sequence[str], *, check: bool = True) -> str:
    """Run a command to its end.

    :param argv: the command and its arguments.
    :param check: whether a status other than 0 is an error.
    :returns: what it wrote on standard output.
    :raises MachineError: it ended with another status, with what it said.
    """
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode != 0:
        raise MachineError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Machine:
    """One machine: its own ``eth0``, host name, hosts file and resolver.

    :param name: its host name.
    :param address: the IPv4 address of its ``eth0``.
    :param folder: where its files under ``/etc`` and its logs are kept.
    """

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self._holder: subprocess.Popen[str] | None = None

    def hold(self, hosts: Mapping[str, Sequence[str]], name_server: str | None) -> int:
        """Make the namespaces.

        :param hosts: name → addresses for its hosts file.
        :param name_server: the address of its DNS server.
        :returns: the process id to move an interface to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "host.conf").write_text(HOST_CONF)
        (self.folder / "nsswitch.conf").write_text(NSSWITCH_CONF)
        server = f"nameserver {name_server}\noptions timeout:2 attempts:2\n" if name_server else ""
        (self.folder / "resolv.conf").write_text(server)
        (self.folder / "hosts").touch()
        self.write_hosts(hosts)
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "sh", "-c", HOLD, "hold", self.name, str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "held":
            raise MachineError(f"{self.name}: no namespaces (see above)")
        return self._holder.pid

    def write_hosts(self, hosts: Mapping[str, Sequence[str]]) -> None:
        """Replace the hosts file, in place: it is a bind mount.

        :param hosts: name → addresses; ``localhost`` and the machine's own name are always there.
        """
        own = {"localhost": ["127.0.0.1"], self.name: [self.address]}
        lines = [f"{address}\t{name}" for name, some in (own | dict(hosts)).items() for address in some]
        with (self.folder / "hosts").open("r+", encoding="ascii") as file:
            file.truncate()
            file.write("\n".join(lines) + "\n")

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs a command on this machine; it keeps the process id.

        :param argv: the command.
        """
        assert self._holder is not None, "hold() comes first"
        return ["nsenter", "-t", str(self._holder.pid), "--net", "--mount", "--uts", "--", *argv]

    def run(self, argv: Sequence[str]) -> str:
        """Run a command on this machine to its end.

        :param argv: the command.
        :returns: its output.
        :raises MachineError: it failed.
        """
        return run(self.inside(argv))

    def release(self) -> None:
        """End the holder; the namespaces go when nothing else runs in them."""
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            if self._holder.stdout is not None:
                self._holder.stdout.close()
            self._holder = None
