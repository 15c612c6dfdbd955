"""
The register of members in etcd, kept for as long as the service runs: one server after the other, each used until it fails.

When one fails, the next is tried at once; only when none of them can be used, attempts are spaced by a back-off, and the operator is told, once. Meanwhile what was
known last stays: a register that cannot be read says nothing of its members.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any
from typing import Protocol as Interface

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.config.model import Address
from kwic.policy.backoff import Backoff
from kwic.service.context import Context
from kwic.service.etcd_entries import Entries, EntriesUser
from kwic.service.etcd_session import TTL_S, EtcdSession
from kwic.transport.etcd_client import Account, EtcdClient, EtcdError

#: The first and the longest wait between two rounds in which no server could be used: short enough to be back before the leases end when etcd is.
INITIAL_S = 0.25
MAXIMUM_S = 2.0
#: A session that lasted so long was a good one: the next attempt is made at once.
STABLE_S = 1.0
#: How long saying goodbye may take.
LEAVE_S = 1.0


class RegisterUser(EntriesUser, Interface):
    """Whoever wants the register."""

    def own_entry(self, local_host: str) -> bytes:
        """
        What is to stand in our entry now.

        :param local_host: the address by which this machine reaches etcd.
        """


class EtcdRegister(Service):
    """
    Keeps our entry and knows the others.

    :param context: the gateway's surroundings.
    :param addresses: the servers of one etcd.
    :param account: who we are to it, when it asks.
    :param prefix: what the keys of all entries begin with; what follows is an entry's name.
    :param user: whoever wants the register; our own entry is called as our instance.
    """

    log = Logger()

    def __init__(
        self,
        context: Context,
        addresses: Iterable[Address],
        account: Account | None,
        prefix: bytes,
        user: RegisterUser,
    ) -> None:
        self._context = context
        self._reactor = context.reactor
        self._addresses = deque(addresses)
        self._account = account
        self._prefix = prefix
        self._user = user
        self._entries = Entries(prefix, context.instance, TTL_S, user)
        self._backoff = Backoff(context.random, initial_s=INITIAL_S, maximum_s=MAXIMUM_S)
        self._lease = 0
        self._session: EtcdSession | None = None
        self._work: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._deadline: Any = None
        self._closing: set[Deferred[None]] = set()
        #: Whether the servers that cannot be used are there; None while one can be. And which was told of last.
        self._there: bool | None = None
        self._said = ""
        #: The address by which this machine reaches etcd; empty before it has.
        self.local_host = ""
        #: The server that is used; empty while none is.
        self.server = ""

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """
        Find out before the start what cannot work.

        :raises SetupError: one line that says what.
        """
        for address in self._addresses:
            EtcdClient(self._reactor, address, self._context.credentials).check()
        if self._account is not None:
            self._account.password()

    def startService(self) -> None:
        """Enter ourselves, and look for the others."""
        Service.startService(self)
        self._lease = 0
        self._there, self._said = None, ""
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._ended)

    def stopService(self) -> Deferred[Any]:
        """
        Take our entry back, if that can be done soon.

        :returns: fires when nothing of ours is open.
        """
        Service.stopService(self)
        work, self._work = self._work, None
        if work is None:
            return succeed(None)
        self._deadline = self._reactor.callLater(LEAVE_S, work.cancel)
        if self._session is not None:
            self._session.leave()
        self._go_on()
        return work.addCallback(lambda _: self._settle())

    def _settle(self) -> Deferred[Any]:
        if self._deadline.active():
            self._deadline.cancel()
        self._entries.clear()
        return DeferredList(list(self._closing))

    def _ended(self, failure: Failure) -> None:
        """Only being told to stop ends the work."""
        if self.running or not failure.check(CancelledError):
            self.log.failure("the register of members in etcd is not kept any more", failure=failure)

    def renew(self, *, at_once: bool = False) -> None:
        """
        Our entry may have to be another one now.

        :param at_once: it must not wait for its turn.
        """
        if self._session is not None:
            self._session.renew(at_once=at_once)

    # -- one server after the other -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        in_vain: list[EtcdError] = []
        while self.running:
            error, lasted_s = await self._use(self._addresses[0])
            self._addresses.rotate(-1)
            if lasted_s >= STABLE_S:
                in_vain.clear()
                self._backoff.reset()
            elif error is not None:
                in_vain.append(error)
            if len(in_vain) >= len(self._addresses) and self.running:
                self._say_lost(in_vain)
                in_vain.clear()
                await self._wait(self._backoff.next())

    async def _use(self, address: Address) -> tuple[EtcdError | None, float]:
        """
        Use one server for as long as that works.

        :returns: what failed, and for how long it was of use, in seconds.
        """
        client = EtcdClient(self._reactor, address, self._context.credentials, self._account)
        session = EtcdSession(
            self._reactor,
            client,
            self._prefix,
            self._context.instance,
            self._entries,
            lambda: self._own_entry(client),
        )
        began_s = float("inf")
        found: Any = None
        self._session = session
        try:
            await session.open(self._lease)
            began_s = self._reactor.seconds()
            self.server = str(client)
            found = self._reactor.callLater(STABLE_S, self._say_found, client)
            await session.tend()
        except EtcdError as error:
            return error, max(0.0, self._reactor.seconds() - began_s)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the register for good
            self.log.failure("cluster: a session with etcd failed")
            return EtcdError(f"{client}: {error!r}"), 0.0
        finally:
            self._session = None
            self._lease = session.lease
            self.server = ""
            if found is not None and found.active():
                found.cancel()
            self._close(client)
        return None, 0.0

    def _own_entry(self, client: EtcdClient) -> bytes:
        self.local_host = client.local_host
        return self._user.own_entry(client.local_host)

    def _close(self, client: EtcdClient) -> None:
        closed = client.close()
        if not closed.called:
            self._closing.add(closed)
            closed.addCallback(lambda _: self._closing.discard(closed))

    async def _wait(self, seconds: float) -> None:
        """Before the next round."""
        self._pause = Deferred()
        timer = self._reactor.callLater(seconds, self._go_on)
        try:
            await self._pause
        finally:
            self._pause = None
            if timer.active():
                timer.cancel()

    def _go_on(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)

    # -- what the operator is told ------------------------------------------------------------------------------------------

    def _say_found(self, client: EtcdClient) -> None:
        """Say it at the start, when all had been gone, and when it is another server than before."""
        self._there = None
        if self._said != str(client):
            self._said = str(client)
            self.log.info("cluster: etcd at {server} keeps the register of the members", server=self._said)

    def _say_lost(self, errors: list[EtcdError]) -> None:
        """Say once that etcd is gone, and once more when it turns out to be there and not to want us."""
        error = max(errors, key=lambda error: error.is_there)
        if self._there is not error.is_there:
            self._there = error.is_there
            self._said = ""
            self.log.warn(
                "cluster: etcd cannot be used: {error}; the members that are known stay, and it is tried again until it can be",
                error=error,
            )
