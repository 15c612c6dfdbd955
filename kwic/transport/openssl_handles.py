"""
OpenSSL through pyOpenSSL's own handles, with buffers that are kept: all records of one read, or all of one write, without an allocation for each.

pyOpenSSL's `recv` and `bio_read` allocate a buffer for each call, copy out of it and look at four callbacks. Here the same functions of the library are called with
one buffer for the whole process. The names used are private to pyOpenSSL: `Handles.make` tries them on a connection of its own first, and returns None
where they are not what is expected; the callers then use the public functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

#: One read of a socket is at most 256 KiB of records, and as a whole a little less in plain.
BUFFER_BYTES = 262_144 + 65_536


class Records:
    """
    The TLS records of one connection: what comes in and what goes out.

    :param connection: pyOpenSSL's.
    :param handles: the functions and the buffers.
    :param send: is given what is to go out, as views that are valid until it returns.
    """

    # What is looked up for each message is here: in pyOpenSSL's connection, and in Twisted's transport, a name costs several times as much.
    __slots__ = (
        "_connection",
        "_from_ssl",
        "_get_error",
        "_handles",
        "_into_ssl",
        "_raw",
        "_read",
        "_send",
        "_ssl",
        "_take",
        "_view_of",
        "_write",
    )

    def __init__(self, connection: Any, handles: Handles, send: Callable[[Any], object]) -> None:
        self._connection = connection
        self._send = send
        self._handles = handles
        self._ssl = connection._ssl  # noqa: SLF001 - see above
        self._into_ssl = connection._into_ssl  # noqa: SLF001
        self._from_ssl = connection._from_ssl  # noqa: SLF001
        lib = handles.lib
        self._read, self._write, self._get_error = lib.SSL_read, lib.SSL_write, lib.SSL_get_error
        self._take, self._raw = lib.BIO_read, lib.BIO_write
        self._view_of = handles.ffi.from_buffer

    def receive(self, data: Any) -> tuple[memoryview, SSL.Error | None]:
        """
        Hand over what was received from the other end, and read what it is in plain.

        :param data: bytes, or a contiguous view of bytes; at least one.
        :returns: as `read`.
        """
        size = len(data)
        if self._raw(self._into_ssl, self._view_of(data), size) != size:
            raise MemoryError(f"OpenSSL has no room for {size} bytes")
        return self.read()

    def read(self) -> tuple[memoryview, SSL.Error | None]:
        """
        Everything that was received.

        :returns: a view that is valid until the next call, and why there is no more: None when the buffer is full.
        """
        ssl, read, handles = self._ssl, self._read, self._handles
        plain, size = handles.plain, 0
        while size < BUFFER_BYTES:
            result = read(ssl, plain + size if size else plain, BUFFER_BYTES - size)
            if result <= 0:
                wants_more = self._get_error(ssl, result) == handles.wants_read
                return handles.plain_view[:size], WANTS_MORE if wants_more else self._why(result)
            size += result
        return handles.plain_view[:size], None

    def write(self, data: Any) -> int:
        """
        Send.

        :param data: bytes, or a contiguous view of bytes; at least one.
        :returns: how many were taken.
        :raises SSL.Error: none, and why.
        """
        result: int = self._write(self._ssl, self._view_of(data), len(data))
        if result <= 0:
            raise self._why(result)
        return result

    def flush(self) -> None:
        """Hand on what OpenSSL wants to send, until it has no more."""
        size = BUFFER_BYTES
        while size == BUFFER_BYTES:
            size = self._take(self._from_ssl, self._handles.out, BUFFER_BYTES)
            if size > 0:
                self._send(self._handles.out_view[:size])

    def _why(self, result: int) -> SSL.Error:
        """What pyOpenSSL makes of a result that is no success."""
        try:
            self._connection._raise_ssl_error(self._ssl, result)  # noqa: SLF001
        except SSL.Error as error:
            # Its frames would keep the caller's view, in a cycle with the error itself.
            return error.with_traceback(None)
        return SSL.Error(f"OpenSSL gives {result} and no reason")


class Handles:
    """
    The functions, and the buffers of the process.

    :param ffi: cffi's.
    :param lib: OpenSSL's.
    """

    records: type[Records] = Records
    """Makes what serves one connection."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        self.ffi = ffi
        self.lib = lib
        self.wants_read = lib.SSL_ERROR_WANT_READ
        # Two, because what is read in plain may be looked at while something is sent for it.
        self.plain = ffi.new("char[]", BUFFER_BYTES)
        self.plain_view = memoryview(ffi.buffer(self.plain))
        self.out = ffi.new("char[]", BUFFER_BYTES)
        self.out_view = memoryview(ffi.buffer(self.out))

    @classmethod
    def make(cls) -> Handles | None:
        """:returns: None where pyOpenSSL is another one than this file knows."""
        try:
            from OpenSSL._util import ffi, lib

            handles = cls(ffi, lib)
            handles._try_out()
        except Exception:  # noqa: BLE001 - whatever is different about it, it is not for us
            return None
        return handles

    def of(self, connection: Any, send: Callable[[Any], object]) -> Records:
        """
        What serves one connection.

        :param connection: pyOpenSSL's.
        :param send: is given what is to go out, as views that are valid until it returns.
        """
        return self.records(connection, self, send)

    def _try_out(self) -> None:
        """Begin a handshake with ourselves and read its first flight back."""
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        connection.set_connect_state()
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        hello: list[bytes] = []
        records = self.of(connection, lambda view: hello.append(bytes(view)))
        records.flush()
        if not b"".join(hello).startswith(b"\x16\x03"):
            raise ValueError("this is no ClientHello")
        view, error = records.read()
        if len(view) or not isinstance(error, SSL.WantReadError):
            raise ValueError("an unfinished handshake has no data")
        _, error = records.receive(b"HTTP/1.1 400 Bad Request")
        if error is WANTS_MORE:
            raise ValueError("this is no ServerHello")
        try:
            records.write(b"data")
        except SSL.Error:
            return
        raise ValueError("this is no handshake")


WANTS_MORE = SSL.WantReadError()
"""One for all: it is no fault, it is met at the end of each read."""

HANDLES = Handles.make()
