"""How long a run will take, said once, while there is time to choose another length."""

from collections.abc import Callable

AFTER = 5.0  # seconds of training, from which on an estimate is worth something
LONG = 600.0  # seconds of a run, from which on one is worth saying


def shown(seconds: float) -> str:
    """Return a length of time in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Estimate:
    """Says how long the steps take, once, if that is long.

    Args:
        steps: Of the run.
        before: Seconds of training before this part of the run.
        device: In words; None: say nothing.
    """

    def __init__(self, steps: int, before: float, device: str | None):
        self.steps, self.before, self.device = steps, before, device

    def look(self, say: Callable[[str], None], done: int, seconds: float) -> None:
        """Say it, the first time that there is something to say.

        Args:
            say: Is told.
            done: Steps of this part of the run.
            seconds: Of training, in all parts of the run.
        """
        taken = seconds - self.before
        if self.device is None or done < 2 or taken < AFTER:
            return
        whole = taken / done * self.steps
        if whole >= LONG:
            length = f"{self.steps:,} steps take about {shown(whole)} on {self.device}, evaluations apart"
            say(f"{length}; `minutes=30` fits a run into half an hour")
        self.device = None
