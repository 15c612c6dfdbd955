"""Members on IPv6 addresses, in a network namespace that has them: run by `test_cluster.Ipv6NamespaceTests`."""

from __future__ import annotations

from test.integration import test_cluster


class Ipv6Tests(test_cluster.ClusterCase):
    """Members on IPv6 addresses."""

    async def test_unicast(self) -> None:
        """IPv6 addresses are listened on and dialled."""
        first = self.start("tcp://[fd00:34::7]:5941", insecure=True)
        second = self.start("tcp://[fd00:34::8]:5941", "tcp://[fd00:34::7]:5941", insecure=True)
        await test_cluster.until(self.complete)
        await self.echo_through(first, second)

    async def test_multicast(self) -> None:
        """IPv6 groups are joined on the interface of the accept address."""
        self.start("tcp://[fd00:34::7]:5941", "udp://[ff02::5942]:54327", insecure=True)
        self.start("tcp://[fd00:34::8]:5941", "udp://[ff02::5942]:54327", insecure=True)
        await test_cluster.until(self.complete)
