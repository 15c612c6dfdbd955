"""Windows: what may be sent, and how it grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.window import WINDOW_MAXIMUM_BYTES, Budget, ReceiveWindow, SendCredit
from kwic.wire.yamux import CREDIT_MAXIMUM_BYTES, INITIAL_WINDOW_BYTES, CreditExceededError

HALF = INITIAL_WINDOW_BYTES // 2


class BudgetTests(SynchronousTestCase):
    """What a process spends on windows."""

    def test_take_and_give_back(self) -> None:
        """What was taken can be taken again once it came back."""
        budget = Budget(100)
        self.assertEqual(budget.take(60), 60)
        self.assertEqual(budget.take(60), 40)
        self.assertEqual(budget.take(1), 0)
        budget.give_back(100)
        self.assertEqual((budget.left_bytes, budget.total_bytes), (100, 100))

    def test_nothing_comes_from_nothing(self) -> None:
        """More cannot come back than was taken."""
        budget = Budget(100)
        with self.assertRaises(MisuseError):
            budget.give_back(1)
        self.assertEqual(budget.left_bytes, 100)


class ReceiveWindowTests(SynchronousTestCase):
    """What the peer may still send."""

    def setUp(self) -> None:
        """A window with a budget of its own."""
        self.budget = Budget()
        self.window = ReceiveWindow(self.budget)

    def use_half(self, now_s: float, rtt_s: float | None) -> int:
        """The peer sends half a window, and the reader takes it."""
        half = self.window.size_bytes // 2
        self.window.received(half)
        return self.window.consumed(half, now_s, rtt_s)

    def test_credit_is_used_up(self) -> None:
        """Beyond 256 KiB the peer may send nothing, and trying leaves the window as it was."""
        self.window.received(INITIAL_WINDOW_BYTES)
        self.assertEqual(self.window.credit_bytes, 0)
        with self.assertRaises(CreditExceededError):
            self.window.received(1)
        self.assertEqual(self.window.parked_bytes, INITIAL_WINDOW_BYTES)

    def test_parked_bytes_return_no_credit(self) -> None:
        """What nobody has read gives the peer nothing."""
        self.window.received(HALF)
        self.assertEqual(self.window.consumed(0, 0.0, None), 0)
        self.assertEqual(self.window.credit_bytes, HALF)

    def test_credit_returns_in_halves(self) -> None:
        """Credit goes back when half a window was consumed, in one step."""
        self.window.received(INITIAL_WINDOW_BYTES)
        self.assertEqual(self.window.consumed(HALF - 1, 0.0, None), 0)
        self.assertEqual(self.window.consumed(1, 0.0, None), HALF)
        self.assertEqual(self.window.credit_bytes, HALF)

    def test_consuming_what_never_came(self) -> None:
        """Only what was received can be consumed."""
        self.window.received(5)
        with self.assertRaises(MisuseError):
            self.window.consumed(6, 0.0, None)
        self.assertEqual(self.window.parked_bytes, 5)

    def test_fast_reader_on_a_long_path(self) -> None:
        """Half a window within two round trips doubles it, and the growth is granted at once."""
        self.assertEqual(self.use_half(0.0, 0.1), HALF)
        self.assertEqual(self.use_half(0.2, 0.1), HALF + INITIAL_WINDOW_BYTES)
        self.assertEqual(self.window.size_bytes, 2 * INITIAL_WINDOW_BYTES)
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes - INITIAL_WINDOW_BYTES)

    def test_first_return_only_starts_the_measure(self) -> None:
        """A client that sends one burst does not make its window grow."""
        self.use_half(0.0, 0.1)
        self.assertEqual(self.window.size_bytes, INITIAL_WINDOW_BYTES)

    def test_slow_reader(self) -> None:
        """Half a window in more than two round trips is fast enough as it is."""
        self.use_half(0.0, 0.1)
        self.assertEqual(self.use_half(0.201, 0.1), HALF)
        self.assertEqual(self.window.size_bytes, INITIAL_WINDOW_BYTES)

    def test_unknown_round_trip(self) -> None:
        """Nothing grows before the round trip was measured."""
        self.use_half(0.0, None)
        self.assertEqual(self.use_half(0.0, None), HALF)

    def test_largest_window(self) -> None:
        """A window stops at 16 MiB."""
        for _ in range(20):
            self.use_half(0.0, 1.0)
        self.assertEqual(self.window.size_bytes, WINDOW_MAXIMUM_BYTES)

    def test_budget_is_shared(self) -> None:
        """When others have used the budget up, a window stays as it is; a rest of it is used."""
        self.budget.take(self.budget.total_bytes - 1000)
        self.use_half(0.0, 1.0)
        self.assertEqual(self.use_half(0.0, 1.0), HALF + 1000)
        self.assertEqual(self.use_half(0.0, 1.0), (INITIAL_WINDOW_BYTES + 1000) // 2)

    def test_release(self) -> None:
        """A stream that ends gives its growth back, once."""
        for _ in range(5):
            self.use_half(0.0, 1.0)
        self.window.release()
        self.window.release()
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes)

    def test_window_fits_the_path(self) -> None:
        """At the full rate of a path the window ends between one and four times bandwidth × delay, so it never limits."""
        rate, rtt_s, now_s = 50_000_000, 0.05, 0.0
        for _ in range(100):
            # what a round trip carries: the window or the path, whichever is less
            carried = min(self.window.size_bytes, int(rate * rtt_s))
            now_s += rtt_s * (self.window.size_bytes // 2) / carried
            self.use_half(now_s, rtt_s)
        self.assertGreaterEqual(self.window.size_bytes, rate * rtt_s)
        self.assertLessEqual(self.window.size_bytes, 4 * 2 * rate * rtt_s)

    @given(
        st.lists(
            st.tuples(
                st.integers(0, INITIAL_WINDOW_BYTES),
                st.integers(0, INITIAL_WINDOW_BYTES),
                st.floats(0, 1),
                st.none() | st.floats(0, 1),
            )
        )
    )
    def test_bytes_are_conserved(self, moves: list[tuple[int, int, float, float | None]]) -> None:
        """Nothing is ever negative, and credit, parked and unreturned bytes are the window in sum."""
        budget = Budget(INITIAL_WINDOW_BYTES * 3)
        window = ReceiveWindow(budget)
        now_s, unreturned = 0.0, 0
        for sent, taken, pause_s, rtt_s in moves:
            window.received(min(sent, window.credit_bytes))
            taken = min(taken, window.parked_bytes)
            before, now_s = window.size_bytes, now_s + pause_s
            grant = window.consumed(taken, now_s, rtt_s)
            unreturned += taken - max(0, grant - (window.size_bytes - before))
            self.assertGreaterEqual(min(window.credit_bytes, window.parked_bytes, unreturned), 0)
            self.assertEqual(window.credit_bytes + window.parked_bytes + unreturned, window.size_bytes)
            self.assertEqual(budget.total_bytes - budget.left_bytes, window.size_bytes - INITIAL_WINDOW_BYTES)


class SendCreditTests(SynchronousTestCase):
    """What we may send."""

    def test_spend_and_grant(self) -> None:
        """Credit goes down with what is sent and up with what is granted."""
        credit = SendCredit()
        credit.spend(INITIAL_WINDOW_BYTES)
        self.assertEqual(credit.available, 0)
        credit.grant(7)
        self.assertEqual(credit.available, 7)

    def test_overspending(self) -> None:
        """More than the credit is our own mistake, and changes nothing."""
        credit = SendCredit()
        with self.assertRaises(MisuseError):
            credit.spend(INITIAL_WINDOW_BYTES + 1)
        self.assertEqual(credit.available, INITIAL_WINDOW_BYTES)

    def test_more_than_32_bits(self) -> None:
        """A peer that grants more than 32 bits hold has lost count."""
        credit = SendCredit()
        credit.grant(CREDIT_MAXIMUM_BYTES - INITIAL_WINDOW_BYTES)
        with self.assertRaises(CreditExceededError):
            credit.grant(1)
        self.assertEqual(credit.available, CREDIT_MAXIMUM_BYTES)
