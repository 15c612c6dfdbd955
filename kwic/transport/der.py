"""The little of DER (X.690) that stores need beyond what `cryptography` reads for us.

Two places need it: the algorithm of a key in a Java store is none that `cryptography` knows, and a PKCS#12 file with
several keys gives it only the first. An ASN.1 library would be a dependency for thirty lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

INTEGER = 0x02
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31
CONTEXT_0 = 0xA0

_LENGTH_BYTES_LIMIT = 4  # no store of ours is larger than 4 GiB


class DerError(ValueError):
    """The bytes are not the DER that was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One value with its tag."""

    tag: int
    content: bytes
    encoded: bytes
    """Tag and length included."""

    def expect(self, tag: int) -> bytes:
        """:returns: the content; :raises DerError: when the tag is another."""
        if self.tag != tag:
            raise DerError(f"tag {self.tag:#x} where {tag:#x} was expected")
        return self.content

    def children(self, tag: int = SEQUENCE) -> tuple[Element, ...]:
        """:returns: what is inside; :raises DerError: when the tag is another."""
        return tuple(elements(self.expect(tag)))


def elements(data: bytes) -> Iterator[Element]:
    """:returns: the values in `data`, one after the other; :raises DerError: when it does not end with the last one."""
    start = 0
    while start < len(data):
        body, end = _extent(data, start)
        yield Element(tag=data[start], content=data[body:end], encoded=data[start:end])
        start = end


def single(data: bytes) -> Element:
    """:returns: the only value in `data`; :raises DerError: when there is none, or more."""
    found = tuple(elements(data))
    if len(found) != 1:
        raise DerError(f"{len(found)} values where one was expected")
    return found[0]


def _extent(data: bytes, start: int) -> tuple[int, int]:
    if start + 2 > len(data):
        raise DerError("cut short")
    body, length = start + 2, data[start + 1]
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= _LENGTH_BYTES_LIMIT:
            raise DerError("a length that DER does not have")
        length = int.from_bytes(data[body : body + count], "big")
        body += count
    if body + length > len(data):
        raise DerError("cut short")
    return body, body + length


def encode(tag: int, *contents: bytes) -> bytes:
    """:returns: the encoding of one value made of `contents`, joined."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def encode_integer(value: int) -> bytes:
    """:returns: a non-negative INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
