"""Something that changes and tells those who wait for it."""

from __future__ import annotations

from collections.abc import Callable


class Watched:
    """Calls whoever watches whenever it is told that something changed. A watcher may come or go while it is called."""

    def __init__(self) -> None:
        self._watchers: dict[object, Callable[[], None]] = {}

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """
        Be called on every change.

        :returns: what ends it.
        """
        key = object()
        self._watchers[key] = call

        def stop() -> None:
            self._watchers.pop(key, None)

        return stop

    def changed(self) -> None:
        """Tell everyone."""
        for key, call in tuple(self._watchers.items()):
            if key in self._watchers:
                call()
