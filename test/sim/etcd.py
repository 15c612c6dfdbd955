"""
An etcd in memory: answers as the JSON gateway of etcd v3.4 does, on any host of a simulated network.

    store = EtcdStore(network)              what an etcd keeps; outlives its servers
    store.serve("etcd", "10.0.0.200")       a server of it, on a host of that name; several may serve the same store
    network.crash("etcd"); store.serve(…)   it dies and comes back; leases begin anew then, as with a new leader

It knows keys, leases, watches and one user, and nothing of them that KWIC does not use.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from test.sim.network import SimNetwork, SimReactor

PORT = 2379
#: How often expired leases are looked for.
LOOK_S = 0.5


class RefusedError(Exception):
    """What the gateway answers with a status of its own."""

    def __init__(self, status: int, code: int, why: str) -> None:
        super().__init__(why)
        self.status, self.code, self.why = status, code, why


class EtcdStore:
    """What an etcd keeps."""

    def __init__(self, network: SimNetwork) -> None:
        self.network = network
        self.clock = network.clock
        self.revision = 1
        self.compacted = 0
        #: Key -> value, revision, lease.
        self.keys: dict[bytes, tuple[bytes, int, int]] = {}
        #: Lease -> how long it lasts, and until when it does.
        self.leases: dict[int, tuple[int, float]] = {}
        self.watches: list[Watch] = []
        #: User and password, when it asks for them.
        self.account: tuple[str, str] | None = None
        self.tokens: set[str] = set()
        #: The user may do nothing.
        self.denies = False
        self.calls: list[str] = []
        self.puts = 0
        self._numbers = count(7_587_899_114_083_958_000)

    def serve(self, name: str, address: str) -> SimReactor:
        """A server of it on a host."""
        reactor = self.network.host(name, address)
        for lease, (ttl_s, _) in self.leases.items():
            self._extend(lease, ttl_s)
        reactor.listenTCP(PORT, QuietSite(Gateway(self, reactor), reactor=reactor))
        return reactor

    def lose_everything(self) -> None:
        """Its data is gone."""
        self.keys.clear()
        self.leases.clear()
        self.tokens.clear()
        self.revision = 1
        self.compacted = 0
        self.watches.clear()

    def compact(self) -> None:
        """Forget the history."""
        self.compacted = self.revision

    # -- leases
    def grant(self, ttl_s: int) -> int:
        lease = next(self._numbers)
        self._extend(lease, ttl_s)
        return lease

    def keep_alive(self, lease: int) -> int:
        if lease not in self.leases:
            return 0
        ttl_s = self.leases[lease][0]
        self._extend(lease, ttl_s)
        return ttl_s

    def _extend(self, lease: int, ttl_s: int) -> None:
        until_s = self.clock.seconds() + ttl_s
        self.leases[lease] = (ttl_s, until_s)
        self.clock.callLater(ttl_s, self._expire, lease, until_s)

    def _expire(self, lease: int, until_s: float) -> None:
        if self.leases.get(lease, (0, 0.0))[1] != until_s:
            return
        if self.serving():
            self.revoke(lease)
        else:
            self.clock.callLater(LOOK_S, self._expire, lease, until_s)

    def serving(self) -> list[SimReactor]:
        """The hosts that serve it now."""
        hosts = self.network.hosts.values()
        return [host for host in hosts if host.alive and not host.frozen and ("", PORT) in host.ports]

    def revoke(self, lease: int) -> None:
        if self.leases.pop(lease, None) is None:
            raise RefusedError(404, 5, "etcdserver: requested lease not found")
        for key in [key for key, (_, _, holder) in self.keys.items() if holder == lease]:
            self.delete(key)

    # -- keys
    def put(self, key: bytes, value: bytes, lease: int = 0) -> None:
        if lease and lease not in self.leases:
            raise RefusedError(404, 5, "etcdserver: requested lease not found")
        self.revision += 1
        self.puts += 1
        self.keys[key] = value, self.revision, lease
        self._tell({"kv": key_value(key, value, self.revision)}, key)

    def delete(self, key: bytes) -> None:
        self.revision += 1
        del self.keys[key]
        self._tell({"type": "DELETE", "kv": {"key": text(key), "mod_revision": str(self.revision)}}, key)

    def _tell(self, event: dict[str, Any], key: bytes) -> None:
        for watch in tuple(self.watches):
            if watch.begin <= key < watch.end:
                watch.say({"events": [event]})


class Watch:
    """Somebody hears what happens."""

    def __init__(self, store: EtcdStore, request: Any, begin: bytes, end: bytes) -> None:
        self.store, self.request, self.begin, self.end = store, request, begin, end
        #: It has been forgotten on the way.
        self.is_mute = False

    def say(self, result: dict[str, Any]) -> None:
        if not self.is_mute:
            self.request.write(encode({"result": {"header": header(self.store), **result}}) + b"\n")

    def forget(self, reason: Any) -> None:
        if self in self.store.watches:
            self.store.watches.remove(self)


class QuietSite(Site):
    """Logs nothing, and lets connections live."""

    noisy = False

    def __init__(self, resource: Resource, reactor: Any) -> None:
        super().__init__(resource, reactor=reactor, timeout=None)

    def log(self, request: Any) -> None:
        """Nobody reads it."""


class Gateway(Resource):
    """The JSON gateway."""

    isLeaf = True

    def __init__(self, store: EtcdStore, reactor: SimReactor) -> None:
        super().__init__()
        self.store = store
        self.reactor = reactor

    def render_POST(self, request: Any) -> Any:
        path = request.path.decode()
        self.store.calls.append(path)
        request.setHeader(b"Content-Type", b"application/json")
        try:
            return self._answer(path, json.loads(request.content.read()), request)
        except RefusedError as refusal:
            request.setResponseCode(refusal.status)
            return encode({"error": refusal.why, "message": refusal.why, "code": refusal.code})

    def _answer(self, path: str, fields: dict[str, Any], request: Any) -> Any:
        if path == "/v3/auth/authenticate":
            return self._authenticate(fields)
        self._check(request)
        if path == "/v3/watch":
            return self._watch(fields["create_request"], request)
        calls: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "/v3/kv/put": self._put,
            "/v3/kv/range": self._range,
            "/v3/lease/grant": self._grant,
            "/v3/lease/revoke": self._revoke,
        }
        if path == "/v3/lease/keepalive":
            ttl_s = self.store.keep_alive(int(fields["ID"]))
            left = {"TTL": str(ttl_s)} if ttl_s else {}
            return encode({"result": {"header": header(self.store), "ID": fields["ID"], **left}}) + b"\n"
        return encode({"header": header(self.store), **calls[path](fields)})

    def _authenticate(self, fields: dict[str, Any]) -> bytes:
        if self.store.account is None:
            raise RefusedError(412, 9, "etcdserver: authentication is not enabled")
        if (fields["name"], fields["password"]) != self.store.account:
            raise RefusedError(400, 3, "etcdserver: authentication failed, invalid user ID or password")
        token = f"token.{len(self.store.calls)}"
        self.store.tokens.add(token)
        return encode({"header": header(self.store), "token": token})

    def _check(self, request: Any) -> None:
        if self.store.account is None:
            return
        token = request.getHeader("authorization")
        if token is None:
            raise RefusedError(400, 3, "etcdserver: user name is empty")
        if token not in self.store.tokens:
            raise RefusedError(401, 16, "etcdserver: invalid auth token")
        if self.store.denies:
            raise RefusedError(403, 7, "etcdserver: permission denied")

    def _put(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.store.put(b64decode(fields["key"]), b64decode(fields["value"]), int(fields["lease"]))
        return {}

    def _range(self, fields: dict[str, Any]) -> dict[str, Any]:
        begin, end = b64decode(fields["key"]), b64decode(fields["range_end"])
        found = sorted(item for item in self.store.keys.items() if begin <= item[0] < end)
        shown = found[: int(fields["limit"])]
        kvs = [
            key_value(key, b"" if fields["keys_only"] else value, revision)
            for key, (value, revision, _) in shown
        ]
        more = {"more": True} if len(shown) < len(found) else {}
        return {**({"kvs": kvs} if kvs else {}), **more, "count": str(len(found))}

    def _grant(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"ID": str(self.store.grant(int(fields["TTL"]))), "TTL": fields["TTL"]}

    def _revoke(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.store.revoke(int(fields["ID"]))
        return {}

    def _watch(self, fields: dict[str, Any], request: Any) -> Any:
        watch = Watch(self.store, request, b64decode(fields["key"]), b64decode(fields["range_end"]))
        watch.say({"created": True})
        start = int(fields["start_revision"])
        if start <= self.store.compacted:
            watch.say({"canceled": True, "compact_revision": str(self.store.compacted)})
            return NOT_DONE_YET
        for key, (value, revision, _) in sorted(self.store.keys.items(), key=lambda item: item[1][1]):
            if revision >= start and watch.begin <= key < watch.end:
                watch.say({"events": [{"kv": key_value(key, value, revision)}]})
        self.store.watches.append(watch)
        request.notifyFinish().addBoth(watch.forget)
        return NOT_DONE_YET


def header(store: EtcdStore) -> dict[str, str]:
    return {"cluster_id": "1", "member_id": "2", "revision": str(store.revision), "raft_term": "2"}


def key_value(key: bytes, value: bytes, revision: int) -> dict[str, str]:
    """What is empty is left out."""
    fields = {"key": text(key), "create_revision": "2", "mod_revision": str(revision), "version": "1"}
    return {**fields, "value": text(value)} if value else fields


def text(data: bytes) -> str:
    return b64encode(data).decode()


def encode(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
