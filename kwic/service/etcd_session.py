"""
The use of one server of etcd, from the first question until something fails: watch, lease and entry all go through it.

The lease is proved every second, and an answer that does not come in time ends the session; so a server that is silent, or cut off from the others of its etcd,
is left within the time of a lease. The watch itself is silent while nothing happens: whether it still tells everything is looked at from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from kwic.service.etcd_entries import ENTRIES_MAXIMUM, Entries
from kwic.transport.etcd_client import EtcdClient, EtcdError
from kwic.wire.etcd_messages import Deleted, Written

#: Seconds that our entry outlives us.
TTL_S = 5
#: Seconds between two proofs that we live, and that the server does.
KEEP_ALIVE_S = 1.0
#: Seconds between two writes of our entry, and before it is written again when it is not there, though it was written.
PUT_S = 0.25
AGAIN_S = 1.0
#: Seconds between two looks at whether the watch tells everything, and between two of them when it seems that it does not.
COMPARE_S = 30.0
DOUBT_S = 1.0
#: So many looks in a row that found something that was not told: the watch is dead. One may have been quicker than the watch.
DOUBTS = 3


class EtcdSession:
    """
    Keeps our entry at one server and hears of the others there.

    :param clock: the reactor.
    :param client: speaks to the server.
    :param prefix: what the keys of all entries begin with.
    :param name: that of our own entry.
    :param entries: the table of all.
    :param own_entry: what is to stand in our entry now.
    """

    def __init__(
        self,
        clock: Any,
        client: EtcdClient,
        prefix: bytes,
        name: str,
        entries: Entries,
        own_entry: Callable[[], bytes],
    ) -> None:
        self._clock = clock
        self._client = client
        self._prefix = prefix
        self._name = name
        self._entries = entries
        self._own_entry = own_entry
        #: Our lease; 0 for none. It is good at every server of the same etcd.
        self.lease = 0
        self._written = b""
        self._put_s = 0.0
        self._at_once = False
        self._keep_alive_s = KEEP_ALIVE_S
        self._kept_s = 0.0
        self._look_s = 0.0
        self._doubts = 0
        self._lost: EtcdError | None = None
        self._leaving = False
        self._nap: Deferred[None] | None = None

    async def open(self, lease: int) -> None:
        """
        Begin.

        :param lease: the one of an earlier session, 0 for none.
        :raises EtcdError: the server cannot be used; likewise below.
        """
        self.lease = lease
        await self._client.authenticate()
        snapshot = await self._client.snapshot(self._prefix, ENTRIES_MAXIMUM)
        self._entries.adopt(snapshot, self._clock.seconds())
        await self._client.watch(self._prefix, snapshot.revision + 1, self._entries_heard, self._watch_ended)
        self._look_s = self._clock.seconds() + COMPARE_S
        await self._keep_alive()
        await self._put()

    async def tend(self) -> None:
        """Go on, until we are told to leave."""
        while not self._leaving:
            # What must not wait is what is new now, and nothing that may come later.
            self._at_once = self._at_once and self._is_stale
            await self._sleep(max(0.0, self._due_s() - self._clock.seconds()))
            if self._lost is not None:
                raise self._lost
            now_s = self._clock.seconds()
            self._entries.expire(now_s)
            if now_s >= self._kept_s + self._keep_alive_s:
                await self._keep_alive()
            if now_s >= self._put_due_s():
                await self._put()
            if now_s >= self._look_s:
                await self._look()
        await self._client.revoke(self.lease)
        self.lease = 0

    def renew(self, *, at_once: bool) -> None:
        """
        Our entry may have to be another one now.

        :param at_once: it must not wait for its turn.
        """
        self._at_once = self._at_once or at_once
        self._wake()

    def _wake(self) -> None:
        nap, self._nap = self._nap, None
        if nap is not None:
            nap.callback(None)

    def leave(self) -> None:
        """Take our entry back, and end."""
        self._leaving = True
        self._wake()

    # -- waiting ------------------------------------------------------------------------------------------------------------

    def _due_s(self) -> float:
        """When there is something to be done next."""
        return min(self._kept_s + self._keep_alive_s, self._look_s, self._put_due_s())

    async def _sleep(self, seconds: float) -> None:
        """Until something is to be done, or may be."""
        if self._leaving or self._lost is not None:
            return
        self._nap = Deferred()
        timer = self._clock.callLater(seconds, self._wake)
        try:
            await self._nap
        finally:
            self._nap = None
            if timer.active():
                timer.cancel()

    def _entries_heard(self, event: Written | Deleted) -> None:
        self._entries.heard(event)
        if self._name not in self._entries:
            self._wake()

    def _watch_ended(self, error: EtcdError) -> None:
        self._lost = error
        self._wake()

    # -- our entry ----------------------------------------------------------------------------------------------------------

    @property
    def _is_stale(self) -> bool:
        """Whether our entry should be another one now."""
        return self._own_entry() != self._written

    def _put_due_s(self) -> float:
        """When our entry is to be written next: it is stale, or somebody removed it."""
        if self._is_stale:
            return float("-inf") if self._at_once else self._put_s + PUT_S
        return float("inf") if self._name in self._entries else self._put_s + AGAIN_S

    async def _keep_alive(self) -> None:
        self._kept_s = self._clock.seconds()
        if self.lease and not await self._client.keep_alive(self.lease):
            self.lease = 0
        if not self.lease:
            lease = await self._client.grant(TTL_S)
            self.lease = lease.identity
            self._keep_alive_s = min(KEEP_ALIVE_S, lease.ttl_s / 3)
            self._written = b""

    async def _put(self) -> None:
        """Write our entry; an event of the watch confirms it."""
        entry = self._own_entry()
        self._at_once = False
        self._put_s = self._clock.seconds()
        if await self._client.put(self._prefix + self._name.encode(), entry, self.lease):
            self._written = entry
            self._put_s = self._clock.seconds()
        else:
            self.lease = 0
            await self._keep_alive()

    # -- the watch ----------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """See whether the watch has told everything."""
        snapshot = await self._client.snapshot(self._prefix, ENTRIES_MAXIMUM, keys_only=True)
        self._doubts = 0 if self._entries.agree_with(snapshot) else self._doubts + 1
        if self._doubts >= DOUBTS:
            raise EtcdError(f"{self._client} does not tell what happens")
        self._look_s = self._clock.seconds() + (DOUBT_S if self._doubts else COMPARE_S)
