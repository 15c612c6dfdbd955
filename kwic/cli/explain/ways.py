"""The ways into and out of each service: what its clients do, who dials, and what is proven on the way."""

from __future__ import annotations

from collections.abc import Iterator

from kwic.cli.explain.story import Dialled, Facts, Way
from kwic.cli.explain.view import View, keys
from kwic.config.ends import End, Side, accept_ends, connect_ends, local_pipes
from kwic.config.model import ANY_USER, Service
from kwic.config.words import listed, shown


class Ways:
    """The ways of one instance."""

    def __init__(self, view: View) -> None:
        """:param view: the instance."""
        self._view = view

    # -- ways in ------------------------------------------------------------------------------------------------------------

    def ways_in(self, service: Service) -> Iterator[Way]:
        """:returns: how clients come to a service."""
        for end in accept_ends(service):
            if not end.is_tunnel:
                yield self._through_door(end)
            elif end.listens:
                yield self._from_guest(end)
            else:
                yield self._from_uplink(end)
        for pipe in local_pipes(service, Side.ACCEPT):
            others = [
                other for other in self._view.config.services if pipe in local_pipes(other, Side.CONNECT)
            ]
            who = listed((shown(other.name) for other in others), "and")
            yield Way(
                text=f"come from service {who} of this process, through {pipe}",
                place=str(pipe),
                notes=(f"from {who}", "inside the process"),
                dialled=Dialled.BY_NOBODY,
                pipe=pipe.name,
            )

    def _through_door(self, end: End) -> Way:
        addresses = self._view.addresses(end)
        text = f"connect to {addresses}"
        if end.address.is_websocket:
            text = f"open a WebSocket to {end.address} at {addresses}"
        return Way(
            text=text,
            facts=(*self._view.security(end), *_limits(end), *_roles(end.service), *_browsers(end.service)),
            place=str(end.address) if end.address.is_websocket else addresses,
            notes=(*((f"at {addresses}",) if end.address.is_websocket else ()), self._view.short(end)),
            dialled=Dialled.BY_OTHERS,
            secure=end.secure,
            end=end,
        )

    def _from_uplink(self, end: End) -> Way:
        names = keys(end)
        return Way(
            text=f"come through the tunnel that we keep to {end.address}, where we offer {names}",
            facts=(*self._view.security(end), *self._view.keeping(end), *_roles(end.service)),
            place=str(end.address),
            notes=(f"offered: {names}", self._view.short(end), *self._view.proxy_note(end)),
            dialled=Dialled.BY_US,
            is_tunnel=True,
            secure=end.secure,
            end=end,
        )

    def _from_guest(self, end: End) -> Way:
        names = keys(end)
        return Way(
            text=f"come through a tunnel that another gateway dials to {end.address}, asking for {names}",
            facts=(("at", self._view.addresses(end)), *self._view.security(end), *_roles(end.service)),
            place=str(end.address),
            notes=(f"asked for: {names}", self._view.short(end)),
            dialled=Dialled.BY_OTHERS,
            is_tunnel=True,
            secure=end.secure,
            end=end,
        )

    # -- ways out -----------------------------------------------------------------------------------------------------------

    def ways_out(self, service: Service) -> Iterator[Way]:
        """:returns: where a service takes them; several are candidates, in order."""
        if service.type == "echo":
            times = f"{service.repeat} times" if service.repeat > 1 else ""
            yield Way(
                text=" ".join(["hear what they say", *filter(None, [times])]),
                place="echo",
                notes=("hears what it says", *filter(None, [times])),
                dialled=Dialled.BY_NOBODY,
            )
        elif service.type == "balancer":
            yield self._redirect(service)
        for end in connect_ends(service):
            if end.is_tunnel:
                yield self._to_agents(end) if end.listens else self._to_listener(end)
            elif end.address.is_websocket:
                yield self._to_websocket(end)
            else:
                yield self._to_server(end)
        for pipe in local_pipes(service, Side.CONNECT):
            others = [
                other for other in self._view.config.services if pipe in local_pipes(other, Side.ACCEPT)
            ]
            who = listed((shown(other.name) for other in others), "and")
            yield Way(
                text=f"go to service {who} of this process, through {pipe}",
                place=str(pipe),
                notes=(f"to {who}", "inside the process"),
                dialled=Dialled.BY_NOBODY,
                pipe=pipe.name,
            )

    def _redirect(self, service: Service) -> Way:
        here = [
            str(accept)
            for other in self._view.config.services
            if not set(other.balances).isdisjoint(service.accepts)
            for accept in other.accepts
        ]
        cluster = self._view.config.cluster
        elsewhere = [f"those of other members of cluster {shown(cluster.name)}"] if cluster else []
        return Way(
            text="are told to connect to the member with the fewest clients (302 Found)",
            facts=(
                ("members", listed([*here, *elsewhere], "and") or "none: nobody balances this address"),
                ("if none", "503 Service Unavailable, Retry-After: 1"),
            ),
            balanced=frozenset(service.accepts),
            place="302 Found",
            notes=(*(f"to {accept}" for accept in here), *(["to other members"] if cluster else [])),
            dialled=Dialled.BY_NOBODY,
        )

    def _to_agents(self, end: End) -> Way:
        names = keys(end)
        wait_s = end.options.socks_timeout_s
        cluster = self._view.config.cluster
        lent = (
            f"through a tunnel that another member of cluster {shown(cluster.name)} holds" if cluster else ""
        )
        return Way(
            text=f"go through the tunnel of an agent that offers {names}; they wait {wait_s:g} s for one at most",
            facts=(
                ("dialled", f"by the agent, to {end.address} at {self._view.addresses(end)}"),
                *self._view.security(end),
                *((("or", lent),) if lent else ()),
                *_roles(end.service, "agents"),
            ),
            place=f"agents that offer {names}",
            notes=(f"they dial {end.address}", self._view.short(end)),
            dialled=Dialled.BY_OTHERS,
            is_tunnel=True,
            secure=end.secure,
            end=end,
        )

    def _to_listener(self, end: End) -> Way:
        names = keys(end)
        return Way(
            text=f"go through the tunnel that we keep to {end.address}, asking for {names}",
            facts=(*self._view.security(end), *self._view.keeping(end)),
            place=str(end.address),
            notes=(f"asked for: {names}", self._view.short(end), *self._view.proxy_note(end)),
            dialled=Dialled.BY_US,
            is_tunnel=True,
            secure=end.secure,
            end=end,
        )

    def _to_websocket(self, end: End) -> Way:
        follows = end.options.http_maximum_redirects
        redirects = f"up to {follows} are followed, with the same checks" if follows else "none are followed"
        return Way(
            text=f"go on to {end.address}: through a tunnel that we keep to a gateway there, "
            "or by a WebSocket for each of them",
            facts=(*self._view.security(end), ("redirects", redirects), *self._view.keeping(end)),
            place=str(end.address),
            notes=(self._view.short(end), *self._view.proxy_note(end)),
            dialled=Dialled.BY_US,
            is_tunnel=True,
            secure=end.secure,
            end=end,
        )

    def _to_server(self, end: End) -> Way:
        return Way(
            text=f"are connected to {end.address}",
            facts=self._view.security(end) if end.secure else (("TLS", self._view.papers.tls(end, end.tls)),),
            place=str(end.address),
            notes=(self._view.short(end),),
            dialled=Dialled.BY_US,
            secure=end.secure,
            end=end,
        )


def _limits(end: End) -> Iterator[tuple[str, str]]:
    options = end.options
    if options.tcp_maximum_outbound_rate is not None:
        yield "at most", f"{options.tcp_maximum_outbound_rate} B/s to each client"
    if end.address.is_websocket and end.service.type != "balancer":
        yield "messages", f"{options.ws_maximum_message_bytes} bytes at most"
        if options.ws_inactivity_timeout_s is not None:
            yield "silence", f"is ended after {options.ws_inactivity_timeout_s:g} s, a ping unanswered"


def _roles(service: Service, who: str = "clients") -> Facts:
    if not service.require_roles:
        return ()
    names = sorted({role for roles in service.require_roles for role in roles})
    if ANY_USER in names:
        return (("allowed", f"{who} with any certificate that verifies"),)
    return (("allowed", f"{who} whose certificate names {listed(map(shown, names))}"),)


def _browsers(service: Service) -> Facts:
    origins = [site.allow_origin for site in service.cross_sites]
    return (("browsers", f"also with pages of {listed(origins)}"),) if origins else ()
