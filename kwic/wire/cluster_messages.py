"""What the members of a cluster tell each other: JSON objects, each behind its length in four bytes, big-endian.

A member speaks for itself only. What it says is soft state: a wrong or stale entry costs a retry, never a failure. Fields and
messages that are not known here are ignored, so that members of neighbouring versions get along; a known field of the wrong kind is an
error, because guessing is worse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from kwic.errors import MisuseError, ProtocolError

LENGTH_BYTES = 4
"""The prefix: an unsigned number, big-endian."""

MESSAGE_MAXIMUM_BYTES = 1024 * 1024
"""The longest message: 10 000 names of 100 bytes, the largest state that a member is meant to have."""

TEXT_MAXIMUM_CHARACTERS = 1024
"""The longest text in a message: a URI."""

NUMBER_MAXIMUM = 2**53 - 1
"""The largest number: the largest that every JSON reader keeps exactly."""


class ClusterMessageError(ProtocolError):
    """The other member sent what is no message of a cluster."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message of each side: who speaks."""

    cluster: str
    """The name of the cluster; another one is not ours."""

    instance: str
    """The UUID of this process start."""

    node: str
    """The name of the machine, for people."""

    incarnation: int
    """Grows with each start of the node: the later one is right."""

    accept: str = ""
    """Where this member takes links, as a URI; empty when it takes none."""


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a member has to offer; replaces what it said before."""

    incarnation: int
    """As in its hello."""

    counter: int
    """Grows with each state; a lower one came late and is dropped."""

    balances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Accept URIs of this member for each balance URI."""

    names: Mapping[str, int] = field(default_factory=dict)
    """Reverse names: how many unsuspected tunnels of this member serve each; 0 = only suspected ones."""

    tunnels: tuple[str, ...] = ()
    """The URIs at which this member takes tunnels, balancers that send it tunnels included."""

    load: int = 0
    """Open client connections."""

    leaving: bool = False
    """Whether it stops soon and is not to be chosen."""


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """A sign of life when there is nothing to say."""

    counter: int
    """Of the last state: a member that has missed one notices."""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """The sender stops; not a failure."""

    incarnation: int
    """As in its hello."""


@dataclass(frozen=True, kw_only=True)
class Announce:
    """A datagram to the multicast group: where a member takes links. A hint, believed only once the link is authenticated."""

    cluster: str
    """The name of the cluster."""

    instance: str
    """The UUID of this process start."""

    accept: str
    """Where this member takes links, as a URI."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """Other members that the sender has links to. A hint, like an announcement: so each finds all, whoever it was told of."""

    accepts: tuple[str, ...]
    """Where they take links, as URIs."""


Message = Hello | State | Heartbeat | Leaving | Announce | Known


def encode_body(message: Message) -> bytes:
    """A message without its length, as it stands in a datagram.

    :raises MisuseError: it is longer than a message may be.
    """
    body = json.dumps(
        {"type": _NAMES[type(message)], **asdict(message)}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    if len(body) > MESSAGE_MAXIMUM_BYTES:
        raise MisuseError(
            f"a cluster message of {len(body)} bytes is over the limit of {MESSAGE_MAXIMUM_BYTES}"
        )
    return body


def encode(message: Message) -> bytes:
    """A message with its length, as it stands on a link.

    :raises MisuseError: it is longer than a message may be.
    """
    body = encode_body(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_body(body: bytes) -> Message | None:
    """Read a message without its length.

    :returns: the message; None when its type is not known here.
    :raises ClusterMessageError: it is no JSON object, or a known field is of the wrong kind.
    """
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ClusterMessageError("a cluster message is not JSON") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ClusterMessageError("a cluster message is not an object with a type")
    build = _BUILDERS.get(fields["type"])
    return build(fields) if build else None


class MessageReader:
    """Cuts the bytes of a control stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Take the next bytes.

        :param data: any number of them.
        :returns: the messages that they complete, unknown ones left out.
        :raises ClusterMessageError: a message is too long, or none.
        """
        self._buffer += data
        messages: list[Message] = []
        start = 0
        while len(self._buffer) - start >= LENGTH_BYTES:
            body = start + LENGTH_BYTES
            size = int.from_bytes(self._buffer[start:body], "big")
            if size > MESSAGE_MAXIMUM_BYTES:
                raise ClusterMessageError(
                    f"a cluster message of {size} bytes is over the limit of {MESSAGE_MAXIMUM_BYTES}"
                )
            if len(self._buffer) < body + size:
                break
            message = decode_body(bytes(self._buffer[body : body + size]))
            if message is not None:
                messages.append(message)
            start = body + size
        del self._buffer[:start]
        return messages


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _text(value: Any) -> str:
    """A short text that can be written to a log."""
    if not isinstance(value, str) or len(value) > TEXT_MAXIMUM_CHARACTERS or not (value.isprintable()):
        raise ClusterMessageError("a cluster message has no proper text where there should be one")
    return value


def _number(value: Any) -> int:
    """A count."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAXIMUM:
        raise ClusterMessageError("a cluster message has no proper number where there should be one")
    return value


def _flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ClusterMessageError("a cluster message has neither true nor false where there should be one")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    """An object with texts for keys."""
    if not isinstance(value, dict):
        raise ClusterMessageError("a cluster message has no object where there should be one")
    return {_text(key): item for key, item in value.items()}


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise ClusterMessageError("a cluster message has no list where there should be one")
    return tuple(_text(item) for item in value)


def _hello(fields: Mapping[str, Any]) -> Hello:
    return Hello(
        cluster=_text(fields.get("cluster")),
        instance=_text(fields.get("instance")),
        node=_text(fields.get("node")),
        incarnation=_number(fields.get("incarnation")),
        accept=_text(fields.get("accept", "")),
    )


def _state(fields: Mapping[str, Any]) -> State:
    return State(
        incarnation=_number(fields.get("incarnation")),
        counter=_number(fields.get("counter")),
        balances={uri: _texts(accepts) for uri, accepts in _mapping(fields.get("balances", {})).items()},
        names={name: _number(tunnels) for name, tunnels in _mapping(fields.get("names", {})).items()},
        tunnels=_texts(fields.get("tunnels", [])),
        load=_number(fields.get("load", 0)),
        leaving=_flag(fields.get("leaving", False)),
    )


def _heartbeat(fields: Mapping[str, Any]) -> Heartbeat:
    return Heartbeat(counter=_number(fields.get("counter")))


def _leaving(fields: Mapping[str, Any]) -> Leaving:
    return Leaving(incarnation=_number(fields.get("incarnation")))


def _announce(fields: Mapping[str, Any]) -> Announce:
    return Announce(
        cluster=_text(fields.get("cluster")),
        instance=_text(fields.get("instance")),
        accept=_text(fields.get("accept")),
    )


def _known(fields: Mapping[str, Any]) -> Known:
    return Known(accepts=_texts(fields.get("accepts")))


_NAMES: dict[type[Message], str] = {
    Hello: "hello",
    State: "state",
    Heartbeat: "heartbeat",
    Leaving: "leaving",
    Announce: "announce",
    Known: "known",
}

_BUILDERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "hello": _hello,
    "state": _state,
    "heartbeat": _heartbeat,
    "leaving": _leaving,
    "announce": _announce,
    "known": _known,
}
