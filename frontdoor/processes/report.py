"""What the keeper has said of one start of a process."""

import signal

import trio

from frontdoor.keeper.link import ChildReport


class Report:
    """Runs, has exited, is gone with all of its group."""

    def __init__(self) -> None:
        self.exited = trio.Event()
        self.gone = trio.Event()
        """Nothing of its group is left, either."""
        self.status: int | None = None

    def take(self, report: ChildReport) -> None:
        """The keeper says how it stands."""
        if report.status is not None:
            self.status = report.status
            self.exited.set()
        if report.gone:
            self.gone.set()

    def words(self) -> str:
        """How it ended: ``exited with code 3``."""
        if self.status is None:
            return "is still running"
        if self.status < 0:
            return f"was ended by {_name(-self.status)}"
        return f"exited with code {self.status}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal has no name of its own
