"""What is said to etcd and what it answers, as its JSON gateway has it (etcd v3.4 and later: one POST for each call, paths below /v3).

Keys and values are base64, 64 bit numbers are texts, and what is empty or zero is left out. A call that streams answers with one JSON object a line, each
wrapped in ``result`` or ``error``. Fields that are not known here are ignored.

A member's entry is two lines of JSON, its hello and its state, each as it would stand on a link (`cluster_messages`).
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from kwic.errors import MisuseError, ProtocolError
from kwic.wire.cluster_messages import Hello, State, decode_body, encode_body

LINE_MAXIMUM_BYTES = 16 * 1024 * 1024
"""The longest line of a watch: the events of one moment, a few of them with the largest entries."""

NUMBER_MAXIMUM = 2**63 - 1
"""The largest number: revisions and leases are signed 64 bit numbers."""

NOT_FOUND, DENIED, UNAUTHENTICATED = 5, 7, 16
"""The codes of gRPC that are told apart."""

_REASON_CHARACTERS = 200


class EtcdMessageError(ProtocolError):
    """What came is no answer of an etcd."""


@dataclass(frozen=True, kw_only=True)
class KeyValue:
    """A key and what stands there."""

    key: bytes
    value: bytes
    revision: int
    """The revision of the store at which it was written last."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All keys of a range at one revision."""

    revision: int
    entries: tuple[KeyValue, ...]
    is_whole: bool
    """False when there are more than were asked for."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What keys hang on: they go when it is not kept alive."""

    identity: int
    ttl_s: int


@dataclass(frozen=True, kw_only=True)
class WatchCreated:
    """From now on everything that happens is told."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A key was written."""

    entry: KeyValue


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """A key is gone."""

    key: bytes
    revision: int


@dataclass(frozen=True, kw_only=True)
class WatchEnded:
    """Nothing more is told."""

    why: str


WatchEvent = WatchCreated | Written | Deleted | WatchEnded


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a call was not done."""

    code: int
    """Of gRPC; 0 when it was not said."""
    why: str


# -- keys and entries -------------------------------------------------------------------------------------------------------


def members_prefix(cluster: str) -> bytes:
    """What the keys of the members of a cluster begin with; its name is escaped as in a URI, so that none is part of another."""
    return f"/kwic/{quote(cluster, safe='')}/members/".encode()


def encode_entry(hello: Hello, state: State) -> bytes:
    """A member as it stands in etcd.

    :raises MisuseError: it is longer than a message may be.
    """
    return encode_body(hello) + b"\n" + encode_body(state)


def decode_entry(value: bytes) -> tuple[Hello, State]:
    """Read a member's entry.

    :raises ProtocolError: it is none.
    """
    first, _, second = value.partition(b"\n")
    hello, state = decode_body(first), decode_body(second)
    if not isinstance(hello, Hello) or not isinstance(state, State):
        raise EtcdMessageError("it is not the entry of a member")
    return hello, state


# -- what is said -----------------------------------------------------------------------------------------------------------


def put_request(key: bytes, value: bytes, lease: int) -> bytes:
    """For ``/v3/kv/put``: write a key that goes with a lease."""
    return _encode({"key": _base64(key), "value": _base64(value), "lease": str(lease)})


def range_request(prefix: bytes, limit: int, *, keys_only: bool = False) -> bytes:
    """For ``/v3/kv/range``: the keys that begin with a prefix.

    :param limit: how many at most.
    """
    return _encode({**_range(prefix), "limit": str(limit), "keys_only": keys_only})


def watch_request(prefix: bytes, revision: int) -> bytes:
    """For ``/v3/watch``: what happens to the keys that begin with a prefix, from a revision on."""
    return _encode({"create_request": {**_range(prefix), "start_revision": str(revision)}})


def grant_request(ttl_s: int) -> bytes:
    """For ``/v3/lease/grant``."""
    return _encode({"TTL": str(ttl_s)})


def lease_request(lease: int) -> bytes:
    """For ``/v3/lease/keepalive`` and ``/v3/lease/revoke``."""
    return _encode({"ID": str(lease)})


def authenticate_request(user: str, password: str) -> bytes:
    """For ``/v3/auth/authenticate``."""
    return _encode({"name": user, "password": password})


def _range(prefix: bytes) -> dict[str, Any]:
    """Every key with a prefix: up to, and without, the prefix whose last byte is one larger."""
    if not prefix or prefix[-1] == 0xFF:
        raise MisuseError(f"{prefix!r} has no end to its range")
    return {"key": _base64(prefix), "range_end": _base64(prefix[:-1] + bytes([prefix[-1] + 1]))}


def _encode(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


# -- what is answered -------------------------------------------------------------------------------------------------------


def parse_snapshot(body: bytes) -> Snapshot:
    """The answer of ``/v3/kv/range``.

    :raises EtcdMessageError: it is none; likewise below.
    """
    fields = _object(_load(body))
    return Snapshot(
        revision=_number(_object(fields.get("header")).get("revision", 0)),
        entries=tuple(_key_value(_object(entry)) for entry in _list(fields.get("kvs", []))),
        is_whole=not _flag(fields.get("more", False)),
    )


def parse_grant(body: bytes) -> Lease:
    """The answer of ``/v3/lease/grant``; the server may have chosen a longer time."""
    fields = _object(_load(body))
    lease = Lease(identity=_number(fields.get("ID", 0)), ttl_s=_number(fields.get("TTL", 0)))
    if not lease.identity or not lease.ttl_s:
        raise EtcdMessageError("a lease without a number or a time")
    return lease


def parse_kept_alive(body: bytes) -> int:
    """The answer of ``/v3/lease/keepalive``.

    :returns: the seconds that are left; 0 when there is no such lease any more.
    """
    return _number(_result(_load(body)).get("TTL", 0))


def parse_done(body: bytes) -> None:
    """An answer that says nothing but that it was done."""
    _object(_load(body))


def parse_token(body: bytes) -> str:
    """The answer of ``/v3/auth/authenticate``.

    :returns: what goes into the ``Authorization`` header.
    """
    token = _object(_load(body)).get("token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise EtcdMessageError("a token that is none")
    return token


def parse_refusal(status: int, body: bytes) -> Refusal:
    """The answer with any status but 200, from etcd or from whatever stands in between.

    :returns: what can be made of it.
    """
    try:
        fields = _object(_load(body))
    except EtcdMessageError:
        text = body.decode("ascii", "replace")
        said = "" if "<" in text else _reason(text)
        return Refusal(code=0, why=f"HTTP status {status}: {said}" if said else f"HTTP status {status}")
    return _refusal(fields, f"HTTP status {status}")


class WatchReader:
    """Cuts the answer of ``/v3/watch`` into events."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def receive(self, data: bytes) -> list[WatchEvent]:
        """Take the next bytes.

        :returns: the events that they complete.
        :raises EtcdMessageError: a line is too long, or no event; nothing more can be read then.
        """
        self._buffer += data
        events: list[WatchEvent] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._buffer[start:end])
            start = end + 1
            if line.strip():
                events.extend(_watch_events(line))
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if len(self._buffer) > LINE_MAXIMUM_BYTES:
            raise EtcdMessageError(f"a line of more than {LINE_MAXIMUM_BYTES} bytes")
        return events


def _watch_events(line: bytes) -> list[WatchEvent]:
    """The events of one line, in their order."""
    result = _result(_load(line))
    events: list[WatchEvent] = []
    if _flag(result.get("created", False)):
        events.append(WatchCreated())
    events.extend(_event(_object(event)) for event in _list(result.get("events", [])))
    if _flag(result.get("canceled", False)):
        compacted = _number(result.get("compact_revision", 0))
        why = _reason(result.get("cancel_reason")) or (
            f"its history before revision {compacted} is gone" if compacted else "it gave no reason"
        )
        events.append(WatchEnded(why=why))
    return events


def _event(fields: Mapping[str, Any]) -> WatchEvent:
    kind, entry = fields.get("type", "PUT"), _key_value(_object(fields.get("kv")))
    if kind == "DELETE":
        return Deleted(key=entry.key, revision=entry.revision)
    if kind != "PUT":
        raise EtcdMessageError("an event of an unknown kind")
    return Written(entry=entry)


def _key_value(fields: Mapping[str, Any]) -> KeyValue:
    return KeyValue(
        key=_bytes(fields.get("key", "")),
        value=_bytes(fields.get("value", "")),
        revision=_number(fields.get("mod_revision", 0)),
    )


def _result(fields: Any) -> Mapping[str, Any]:
    """What a line of a stream wraps; older gateways say ``error``, with or without a result beside it."""
    wrapped = _object(fields)
    if "error" in wrapped:
        inner = wrapped["error"]
        why = _refusal(inner if isinstance(inner, dict) else wrapped, "it failed").why
        raise EtcdMessageError(why)
    return _object(wrapped.get("result"))


def _refusal(fields: Mapping[str, Any], otherwise: str) -> Refusal:
    """An error of the gateway, in any of its forms."""
    code = fields.get("code", fields.get("grpc_code", 0))
    is_code = isinstance(code, int) and 0 <= code <= UNAUTHENTICATED
    why = _reason(fields.get("message")) or _reason(fields.get("error")) or otherwise
    return Refusal(code=code if is_code else 0, why=why)


def _reason(value: Any) -> str:
    """A text that can be written to a log; empty when there is none."""
    if not isinstance(value, str):
        return ""
    shown = "".join(character if character.isprintable() else " " for character in value[:_REASON_CHARACTERS])
    return shown.strip().removeprefix("etcdserver: ")


# -- JSON -------------------------------------------------------------------------------------------------------------------


def _load(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EtcdMessageError("an answer that is not JSON") from error


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise EtcdMessageError("an answer without an object where there should be one")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise EtcdMessageError("an answer without a list where there should be one")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EtcdMessageError("an answer with neither true nor false where there should be one")
    return value


def _number(value: Any) -> int:
    """A count: a JSON number, or a text of digits, as the gateway writes 64 bits."""
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= len(str(NUMBER_MAXIMUM))
    ):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAXIMUM:
        raise EtcdMessageError("an answer without a proper number where there should be one")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise EtcdMessageError("an answer without base64 where it should be")
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EtcdMessageError("an answer without base64 where it should be") from error
