"""The table of a stream's life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.stream_state import TRANSITIONS, Stream, StreamInput, StreamState
from kwic.wire.window import Budget, ReceiveWindow
from kwic.wire.yamux import IllegalFrameError

MIRROR = {
    StreamInput.SEND_SYN: StreamInput.RECEIVE_SYN,
    StreamInput.SEND_DATA: StreamInput.RECEIVE_DATA,
    StreamInput.SEND_CREDIT: StreamInput.RECEIVE_CREDIT,
    StreamInput.SEND_FIN: StreamInput.RECEIVE_FIN,
    StreamInput.SEND_RST: StreamInput.RECEIVE_RST,
}
"""What the peer sees of what we do."""


def stream() -> Stream:
    """A stream that nobody has opened."""
    return Stream(1, ReceiveWindow(Budget()))


class TransitionTests(SynchronousTestCase):
    """Every state with every input."""

    def test_every_pair(self) -> None:
        """What is in the table leads where it says; anything else raises, blames the right side and changes nothing."""
        for state in StreamState:
            for happening in StreamInput:
                one = stream()
                one.state = state
                following = TRANSITIONS.get((state, happening))
                self.assertEqual(one.may(happening), following is not None)
                if following is not None:
                    one.apply(happening)
                    self.assertIs(one.state, following)
                    continue
                blame = MisuseError if happening.name.startswith("SEND") else IllegalFrameError
                with self.assertRaises(blame) as caught:
                    one.apply(happening)
                self.assertIn(f"{happening.name} in state {state.name}", str(caught.exception))
                self.assertIs(one.state, state)

    def test_nothing_leaves_closed(self) -> None:
        """A closed stream is over."""
        self.assertFalse([pair for pair in TRANSITIONS if pair[0] is StreamState.CLOSED])

    def test_every_state_is_reached(self) -> None:
        """No state of the table is unreachable, and each but the last can be left."""
        self.assertEqual(set(TRANSITIONS.values()) | {StreamState.IDLE}, set(StreamState))
        self.assertEqual({state for state, _ in TRANSITIONS} | {StreamState.CLOSED}, set(StreamState))

    def test_reset_is_always_possible(self) -> None:
        """A stream that is open in any way can be given up by either side."""
        for state in set(StreamState) - {StreamState.IDLE, StreamState.CLOSED}:
            for happening in (StreamInput.SEND_RST, StreamInput.RECEIVE_RST):
                self.assertIs(TRANSITIONS[state, happening], StreamState.CLOSED)

    @given(st.data())
    def test_legal_here_is_legal_there(self, choose: st.DataObject) -> None:
        """Two sides that act by the table, each hearing of the other in order and late, never find the other at fault."""
        sides = (stream(), stream())
        on_the_way: tuple[list[StreamInput], list[StreamInput]] = ([], [])
        for _ in range(choose.draw(st.integers(0, 30))):
            here = choose.draw(st.integers(0, 1))
            side, inbox, outbox = sides[here], on_the_way[here], on_the_way[1 - here]
            acts = [] if side.state is StreamState.IDLE and here else [act for act in MIRROR if side.may(act)]
            if inbox and (not acts or choose.draw(st.booleans())):
                heard = inbox.pop(0)
                # what comes after we reset is dropped by the session, not offered to the table
                if side.state is not StreamState.CLOSED:
                    side.apply(heard)
                    if heard is StreamInput.RECEIVE_SYN:
                        outbox.append(StreamInput.RECEIVE_ACK)
            elif acts:
                act = choose.draw(st.sampled_from(acts))
                side.apply(act)
                outbox.append(MIRROR[act])
