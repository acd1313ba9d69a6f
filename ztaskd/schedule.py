"""When to look next, and how far ahead to claim: pure, `now` is passed in (epoch seconds)."""

from __future__ import annotations

# Seconds between two looks into the journal when nothing asks for one: what a lost message costs.
SWEEP = 1.0

# Claims reach this many seconds of work beyond the free slots: enough to keep the slots busy during a
# commit, and few rows to run twice after a kill -9.
HORIZON = 0.1

# And never more rows than one batch of the committer: a kill -9 can repeat no more than slots + this.
MOST_AHEAD = 200


class Alarm:
    """The earliest due time that is known of, and until when rows may be committed of which nobody tells."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._again: float | None = None  # when the first of those times is over
        self._until = 0.0  # and the last
        self._swept = float("-inf")

    def arm(self, due: float | None) -> bool:
        """Remembers `due` if it comes before what is known. True when the wait became shorter by it."""
        if due is None or (self.due is not None and self.due <= due):
            return False
        self.due = due
        return True

    def again(self, at: float) -> bool:
        """It is to be looked at `at`, or soon after it. True when the wait became shorter by it."""
        self._until = at if self._again is None else max(self._until, at)
        if self._again is not None and self._again <= at:
            return False
        self._again = at
        return True

    def wait(self, now: float) -> float:
        """Seconds until the next look. A clock that was set back does not make it longer than a sweep."""
        next_sweep = min(max(0.0, self._swept + SWEEP - now), SWEEP)
        known = [at for at in (self.due, self._again) if at is not None]
        return min(next_sweep, max(0.0, min(known) - now)) if known else next_sweep

    def ring(self, now: float) -> bool:
        """True when it is time to look: forgets the due time that has come."""
        rings = now >= self._swept + SWEEP or now < self._swept
        if self.due is not None and self.due <= now:
            self.due, rings = None, True
        if self._again is not None and self._again <= now:
            self._again, rings = self._until if self._until > now else None, True
        if rings:
            self._swept = now
        return rings


class Pace:
    """How many tasks were finished in the last HORIZON seconds: that many may be claimed ahead."""

    def __init__(self) -> None:
        self._began = 0.0
        self._current = 0
        self._previous = 0

    def finished(self, now: float) -> None:
        self._turn(now)
        self._current += 1

    def ahead(self, now: float) -> int:
        self._turn(now)
        return min(max(self._previous, self._current), MOST_AHEAD)

    def _turn(self, now: float) -> None:
        elapsed = now - self._began
        if 0 <= elapsed < HORIZON:
            return
        self._previous = self._current if 0 <= elapsed < 2 * HORIZON else 0
        self._current = 0
        self._began = now
