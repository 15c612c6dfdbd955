"""
OpenSSL through pyOpenSSL's own handles, with buffers that are kept: all records of one read, or all of one write, without an allocation for each.

pyOpenSSL's `recv` and `bio_read` allocate a buffer for each call, copy out of it and look at four callbacks. Here the same functions of the library are called with
one buffer for the whole process. The names used are private to pyOpenSSL: `Handles.make` tries them on a connection of its own first, and returns None
where they are not what is expected; the callers then use the public functions.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

#: One read of a socket is at most 256 KiB of records, and as a whole a little less in plain.
BUFFER_BYTES = 262_144 + 65_536


class Handles:
    """
    The functions and the buffers.

    :param ffi: cffi's.
    :param lib: OpenSSL's.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        # Two, because what is read in plain may be looked at while something is sent for it.
        self._plain = ffi.new("char[]", BUFFER_BYTES)
        self._plain_view = memoryview(ffi.buffer(self._plain))
        self._out = ffi.new("char[]", BUFFER_BYTES)
        self._out_view = memoryview(ffi.buffer(self._out))

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

    def _try_out(self) -> None:
        """Begin a handshake with ourselves and read its first flight back."""
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        connection.set_connect_state()
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        hello = bytes(self.read_out(connection))
        if not hello.startswith(b"\x16\x03"):
            raise ValueError("this is no ClientHello")
        view, error = self.read_plain(connection)
        if len(view) or not isinstance(error, SSL.WantReadError):
            raise ValueError("an unfinished handshake has no data")
        self.feed(connection, b"HTTP/1.1 400 Bad Request")
        try:
            self.write(connection, b"data")
        except SSL.Error:
            return
        raise ValueError("this is no handshake")

    def read_plain(self, connection: Any) -> tuple[memoryview, SSL.Error | None]:
        """
        Everything that was received.

        :returns: a view that is valid until the next call, and why there is no more: None when the buffer is full.
        """
        ssl, lib = connection._ssl, self._lib  # noqa: SLF001
        size = 0
        while size < BUFFER_BYTES:
            result = lib.SSL_read(ssl, self._plain + size, BUFFER_BYTES - size)
            if result <= 0:
                wants_more = lib.SSL_get_error(ssl, result) == lib.SSL_ERROR_WANT_READ
                return self._plain_view[:size], _WANTS_MORE if wants_more else _why(connection, result)
            size += result
        return self._plain_view[:size], None

    def feed(self, connection: Any, data: Any) -> None:
        """
        Hand over what was received from the other end.

        :param data: bytes, or a contiguous view of bytes; at least one.
        """
        size = len(data)
        if self._lib.BIO_write(connection._into_ssl, self._ffi.from_buffer(data), size) != size:  # noqa: SLF001
            raise MemoryError(f"OpenSSL has no room for {size} bytes")

    def write(self, connection: Any, data: Any) -> int:
        """
        Send.

        :param data: bytes, or a contiguous view of bytes; at least one.
        :returns: how many were taken.
        :raises SSL.Error: none, and why.
        """
        ssl = connection._ssl  # noqa: SLF001
        result: int = self._lib.SSL_write(ssl, self._ffi.from_buffer(data), len(data))
        if result <= 0:
            raise _why(connection, result)
        return result

    def read_out(self, connection: Any) -> memoryview:
        """What is to be sent now: a view that is valid until the next call; when it fills the buffer there may be more."""
        size = self._lib.BIO_read(connection._from_ssl, self._out, BUFFER_BYTES)  # noqa: SLF001
        return self._out_view[: max(size, 0)]


_WANTS_MORE = SSL.WantReadError()
"""One for all: it is no fault, it is met at the end of each read."""


def _why(connection: Any, result: int) -> SSL.Error:
    """What pyOpenSSL makes of a result that is no success."""
    try:
        connection._raise_ssl_error(connection._ssl, result)  # noqa: SLF001
    except SSL.Error as error:
        # Its frames would keep the caller's view, in a cycle with the error itself.
        return error.with_traceback(None)
    return SSL.Error(f"OpenSSL gives {result} and no reason")


HANDLES = Handles.make()
