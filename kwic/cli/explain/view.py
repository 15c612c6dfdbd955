"""An instance as it is looked at while its story is told: what its ends share, prove and ride on, in words."""

from __future__ import annotations

from collections.abc import Mapping

from kwic.cli.explain.papers import Papers
from kwic.cli.explain.story import Facts
from kwic.cli.holdings import Holdings
from kwic.cli.offline_names import OfflineNames
from kwic.config.ends import End, Side
from kwic.config.listen import listeners
from kwic.config.model import Address, GatewayConfig, TlsOptions, VerifyClient, bracketed
from kwic.config.words import listed, shown
from kwic.errors import SetupError
from kwic.policy.forward_proxy import proxy_for
from kwic.service.sockets import Socket, sockets

Key = tuple[str, Side, Address, tuple[str, ...]]


class View:
    """One instance."""

    def __init__(
        self,
        config: GatewayConfig,
        holdings: Holdings,
        names: OfflineNames,
        environ: Mapping[str, str],
        now_s: float,
    ) -> None:
        """See :func:`kwic.cli.explain.telling.tell`."""
        self.config = config
        self.names = names
        self.papers = Papers(config, holdings, now_s)
        self.sockets = sockets(listeners(config), names)
        self._environ = environ
        self._tls: dict[Key, TlsOptions] = {}
        self._addresses: dict[Key, list[str]] = {}
        for socket in self.sockets:
            for end in socket.ends:
                self._addresses.setdefault(key_of(end), []).append(bound(socket))
                self._tls[key_of(end)] = socket.tls

    def addresses(self, end: End) -> str:
        """:returns: where an end is bound."""
        return listed(self._addresses.get(key_of(end), [str(end.socket)]), "and")

    def security(self, end: End) -> Facts:
        """:returns: TLS and identity of an end."""
        tls = self._tls.get(key_of(end), end.tls)
        return (("TLS", self.papers.tls(end, tls)), ("who", self.papers.identity(end, tls)))

    def short(self, end: End) -> str:
        """:returns: the same in a few words."""
        if not end.secure:
            return "no TLS"
        if not end.listens:
            return f"TLS, must be {end.address.host}"
        return f"TLS, {asked(self._tls.get(key_of(end), end.tls))}"

    def keeping(self, end: End) -> Facts:
        """:returns: how a tunnel is kept that we dial, and which way it takes."""
        count = end.service.prepared_connection_count or 1
        each = f"to every address of {end.address.host}" + (f", {count} each" if count > 1 else "")
        retry_s = end.options.socks_retry_maximum_interval_s
        kept = (
            "kept",
            f"{each}; a lost one is dialled again, at first after 0.5 s, at last every {retry_s:g} s",
        )
        proxy = self._proxy(end)
        return (kept, ("through", proxy)) if proxy else (kept,)

    def proxy_note(self, end: End) -> tuple[str, ...]:
        """:returns: the proxy that an end is dialled through, in a few words; nothing without one."""
        text = self._proxy(end)
        return (f"through {text}",) if text else ()

    def _proxy(self, end: End) -> str:
        try:
            proxy = proxy_for(end.address, self.config.properties, self._environ)
        except SetupError as error:
            return f"nothing: {error}"
        return f"the HTTP proxy {proxy}" if proxy is not None else ""


def key_of(end: End) -> Key:
    """:returns: what an end is known by: it is made anew each time it is asked for."""
    return (end.service.name, end.side, end.address, end.keys)


def keys(end: End) -> str:
    """:returns: the names in a tunnel."""
    return listed((shown(key) for key in end.keys), "and")


def bound(socket: Socket) -> str:
    """:returns: where a socket is bound."""
    host = socket.host if socket.host.startswith("@") else bracketed(socket.host)
    return f"{host}:{socket.port}"


def asked(tls: TlsOptions) -> str:
    """:returns: whether clients are asked for certificates."""
    return {
        VerifyClient.REQUIRED: "client certificate required",
        VerifyClient.OPTIONAL: "client certificate optional",
    }.get(tls.verify_client or VerifyClient.NONE, "no client certificate")
