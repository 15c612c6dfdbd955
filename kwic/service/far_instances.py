"""The processes at the other end of our tunnels: one may have several with us, through one address or many, and when it is silent, it is in all of them."""

from __future__ import annotations

from kwic.transport.tunnel import Tunnel


class FarInstances:
    """Which tunnels lead to the same instance."""

    def __init__(self) -> None:
        self._instances: dict[Tunnel, str] = {}
        self._tunnels: dict[str, dict[Tunnel, None]] = {}

    def came(self, tunnel: Tunnel, instance: str) -> None:
        """
        A tunnel is up.

        :param instance: the UUID that its other end has said; empty when it has said none.
        """
        if instance:
            self._instances[tunnel] = instance
            self._tunnels.setdefault(instance, {})[tunnel] = None

    def went(self, tunnel: Tunnel) -> None:
        """It is gone."""
        instance = self._instances.pop(tunnel, "")
        tunnels = self._tunnels.get(instance, {})
        tunnels.pop(tunnel, None)
        if not tunnels:
            self._tunnels.pop(instance, None)

    def of(self, tunnel: Tunnel) -> str | None:
        """The UUID of the instance that a tunnel leads to; None when that is not known."""
        return self._instances.get(tunnel)

    def doubt(self, tunnel: Tunnel) -> None:
        """An open was left unanswered: every way to that instance comes after others until it has answered."""
        for one in tuple(self._tunnels.get(self._instances.get(tunnel, ""), (tunnel,))):
            one.suspect_now()
