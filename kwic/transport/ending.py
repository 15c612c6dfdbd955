"""How a connection ended, in the words of a log line."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from kwic.errors import KwicError
from kwic.transport.tls_failures import explain_tls_failure

#: Twisted's own exceptions, whose texts are about its interfaces. One that we have made ourselves carries our words instead.
_PLAIN: dict[type[BaseException], str] = {
    ConnectionDone: "the connection was closed",
    ConnectionLost: "the connection was lost",
    ConnectionAborted: "we dropped the connection",
}
#: What those carry that Twisted makes when a socket ends.
_UNTOLD = ((), CONNECTION_DONE.args, CONNECTION_LOST.args)


def explain_end(reason: Failure) -> str:
    """:returns: why a connection ended, in one line.

    :param reason: what ``connectionLost`` got.
    """
    error = reason.value
    assert error is not None
    plain = _PLAIN.get(type(error))
    if plain is not None:
        text = plain if error.args in _UNTOLD else str(error.args[0])
    elif isinstance(error, SSL.Error | KwicError):
        text = explain_tls_failure(error)
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__
