"""A run: every pair started once, its memory and its bytes checked, then rounds in which all take turns."""

from __future__ import annotations

from collections.abc import Sequence

from bench.effort import Effort
from bench.errors import MeasureError
from bench.measures import Measure, memory_of, verify
from bench.pair import Pair
from bench.progress import Progress
from bench.results import Failure, Results

PREPARING = ("start", "memory", "every byte checked")


def steps_of(effort: Effort, pairs: int, measures: int) -> int:
    """How many steps of progress a run has.

    :param effort: how many rounds.
    :param pairs: how many pairs.
    :param measures: how many measures a round.
    """
    return pairs * (len(PREPARING) + effort.rounds * measures)


class Run:
    """One run.

    :param measures: what every round consists of.
    :param effort: how much to measure.
    :param progress: told what begins.
    :param results: gets the samples.
    """

    def __init__(
        self, measures: Sequence[Measure], effort: Effort, progress: Progress, results: Results
    ) -> None:
        self._measures = measures
        self._effort = effort
        self._progress = progress
        self.results = results

    def perform(self, pairs: Sequence[Pair]) -> Results:
        """Measures.

        Pairs that have been measured wait, idle, for the next round: within a round each figure is taken from one pair
        after the other, and each round begins with another pair, so that a slow moment of the machine hits them alike.

        :param pairs: not started yet; all are stopped at the end.
        """
        self.results.titles = {pair.key: pair.title for pair in pairs}
        self.results.c_relays = tuple(pair.key for pair in pairs if pair.is_c_relay)
        try:
            fit = [pair for pair in pairs if self._prepare(pair)]
            for number in range(self._effort.rounds):
                self._round(number, fit)
        finally:
            for pair in pairs:
                pair.stop()
            self._progress.clear()
        return self.results

    def _prepare(self, pair: Pair) -> bool:
        """Starts a pair; a pair that loses bytes is not timed.

        :returns: whether it is fit to be measured.
        """
        what = PREPARING[0]
        try:
            self._progress.step(f"{pair.title}: {what}")
            pair.start()
            what = PREPARING[1]
            self._progress.step(f"{pair.title}: {what}")
            self.results.add(pair.key, memory_of(pair, min(pair.idle_clients, self._effort.idle_clients)))
            what = PREPARING[2]
            self._progress.step(f"{pair.title}: {what}")
            verify(pair)
        except MeasureError as error:
            self._fail(pair, what, error)
            pair.stop()
            self._progress.skip(self._effort.rounds * len(self._measures))
            return False
        return True

    def _round(self, number: int, pairs: Sequence[Pair]) -> None:
        start = number % len(pairs) if pairs else 0
        for measure in self._measures:
            for pair in (*pairs[start:], *pairs[:start]):
                self._progress.step(
                    f"round {number + 1} of {self._effort.rounds}: {measure.title}: {pair.title}"
                )
                self._take(measure, pair)

    def _take(self, measure: Measure, pair: Pair) -> None:
        try:
            self.results.add(pair.key, measure.take(pair))
        except MeasureError as error:
            self._fail(pair, measure.title, error)

    def _fail(self, pair: Pair, what: str, error: MeasureError) -> None:
        failure = Failure(pair=pair.key, what=what, why=str(error))
        self.results.failures.append(failure)
        self._progress.note(f"FAILED {failure}")
