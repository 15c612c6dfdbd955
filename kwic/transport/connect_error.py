"""Why a connection could not be made, in one line for the operator and one word for the program."""

from __future__ import annotations

from enum import Enum

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from kwic.errors import KwicError
from kwic.transport.tls_failures import explain_tls_failure
from kwic.wire.http_head import Headers


class Why(Enum):
    """What kind of failure it was."""

    REFUSED = "nobody listens there"
    TIMEOUT = "no answer in time"
    NO_NAME = "the name has no address"
    UNREACHABLE = "there is no way there"
    LOST = "the connection ended before it was usable"
    TLS = "no agreement on TLS, or a certificate that is not trusted"
    HTTP = "the other end answered, and refused"
    PROXY = "the forward proxy refused"
    CANCELLED = "nobody waits for it any more"


class ConnectError(KwicError):
    """A connection could not be made.

    :param text: one line.
    :param why: the kind of failure.
    """

    def __init__(self, text: str, why: Why) -> None:
        super().__init__(text)
        self.why = why


class WebSocketRefusedError(ConnectError):
    """The other end answered the upgrade request with something else than an upgrade."""

    def __init__(self, text: str, *, status: int, reason: str, headers: Headers) -> None:
        super().__init__(text, Why.HTTP)
        self.status = status
        self.reason = reason
        self.headers = headers


_KINDS: tuple[tuple[type[Exception], Why, str], ...] = (
    (error.ConnectionRefusedError, Why.REFUSED, "connection refused to {where}"),
    (error.DNSLookupError, Why.NO_NAME, "no address is known for {where}"),
    (error.UnknownHostError, Why.NO_NAME, "no address is known for {where}"),
    (error.NoRouteError, Why.UNREACHABLE, "no route to {where}"),
    (error.TimeoutError, Why.TIMEOUT, "no answer from {where} in time"),
    (error.TCPTimedOutError, Why.TIMEOUT, "no answer from {where} in time"),
    (error.ConnectionDone, Why.LOST, "{where} closed the connection before it was usable"),
    (error.ConnectionLost, Why.LOST, "{where} dropped the connection before it was usable"),
    (error.ConnectError, Why.UNREACHABLE, "{where} cannot be reached: {detail}"),
    (CancelledError, Why.CANCELLED, "the connection to {where} was given up"),
)


def explain(failure: Failure, where: str) -> ConnectError:
    """:returns: what a failed connect, or a connection that ended too early, comes to.

    :param failure: as an endpoint or connectionLost reports it.
    :param where: ``host:port``, as the operator wrote it.
    """
    problem: BaseException = failure.value or ConnectError("", Why.LOST)
    if isinstance(problem, ConnectError):
        return problem
    if isinstance(problem, SSL.Error | VerificationError):
        return ConnectError(f"TLS with {where} failed: {explain_tls_failure(problem)}", Why.TLS)
    for kind, why, text in _KINDS:
        if isinstance(problem, kind):
            return ConnectError(text.format(where=where, detail=_one_line(problem)), why)
    return ConnectError(f"{where} cannot be reached: {_one_line(problem)}", Why.UNREACHABLE)


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
