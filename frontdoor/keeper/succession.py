"""The succession of door processes: which one serves, what follows from the end of one, and who comes in its place."""

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from frontdoor.keeper import wire
from frontdoor.keeper.custody import Custody
from frontdoor.keeper.deaths import DELAYS, Death, Deaths
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.identity import Identity
from frontdoor.keeper.leaving import Leaving
from frontdoor.keeper.renewal import Document, Renewals, Trial
from frontdoor.keeper.signals import Signals
from frontdoor.keeper.spawn import SpawnError
from frontdoor.keeper.stderr import say
from frontdoor.keeper.suspect import KEY as WORDS
from frontdoor.keeper.suspect import in_hand
from frontdoor.keeper.upgrade import Step, Upgrade


class Succession:
    """One door process at a time; two in an upgrade, after which the old one may finish what it has."""

    def __init__(
        self,
        config: str,
        custody: Custody,
        signals: Signals,
        *,
        remember: Callable[[], Document],
        hear_out: Callable[[DoorProcess], object],
        answer: Callable[[DoorProcess, wire.Message], object],
        resumed: Callable[[], object],
    ) -> None:
        """``remember`` all that the keeper knows; ``hear_out``: read what waits in a wire; ``answer`` a request.

        ``resumed`` is called when there is one door process again, after an upgrade.
        """
        self.door: DoorProcess | None = None
        """The one that serves, or is to."""
        self.upgrade: Upgrade | None = None
        """While there is another one beside it."""
        self.leaving = Leaving()
        """Those that were replaced, and have not ended yet."""
        self.deaths = Deaths()
        self.renewals = Renewals(config, remember)
        self._config = config
        self._custody = custody
        self._signals = signals
        self._hear_out = hear_out
        self._answer = answer
        self._resumed = resumed
        self._restart_at: float | None = None

    def __repr__(self) -> str:
        return f"<Succession {self.door}, {self.upgrade or 'no upgrade'}>"

    def remember(self) -> Document:
        """As JSON, for a renewal of the keeper. There is no upgrade under way."""
        return {
            "door": self.door.remember() if self.door is not None else None,
            "leaving": self.leaving.remember(),
            "deaths": self.deaths.remember(),
            "restart_at": self._restart_at,
        }

    def descriptors(self) -> Iterator[int]:
        """All that are in use here."""
        yield from self.door.descriptors() if self.door is not None else ()
        yield from self.leaving.descriptors()

    def recall(self, remembered: Document) -> None:
        """As it was. Raises KeyError, ValueError, TypeError, OSError."""
        self.door = DoorProcess.recall(remembered["door"]) if remembered["door"] is not None else None
        self.leaving.recall(remembered.get("leaving", ()))
        self.deaths.recall(remembered["deaths"])
        self._restart_at = remembered["restart_at"]

    # -- what there is ----------------------------------------------------------------------------------------------

    @property
    def doors(self) -> list[DoorProcess]:
        """All of them: the one that serves first."""
        new = [self.upgrade.new] if self.upgrade is not None else []
        return [self.door, *new] if self.door is not None else new

    @property
    def everyone(self) -> list[DoorProcess]:
        """These, and those that only finish what they have: all that there is a wire to."""
        return [*self.doors, *self.leaving]

    @property
    def pids(self) -> list[int]:
        """Of the door processes, and of those that try the keeper's new code."""
        return [one.pid for of in (self.everyone, self._trials()) for one in of]

    @property
    def deadlines(self) -> Iterator[float | None]:
        """When something is to be done."""
        yield self._restart_at
        yield self.upgrade.deadline if self.upgrade is not None else None
        for door in self.heeded:
            yield door.pulse.at
        for trial in self._trials():
            yield trial.deadline

    @property
    def watched(self) -> DoorProcess | None:
        """The one that has to answer: not before the first has served, for then there is nothing to restore."""
        door = self.door
        return door if door is not None and self._custody.serving and not door.standing else None

    @property
    def heeded(self) -> list[DoorProcess]:
        """All that have to answer: that one, and those that finish what they have."""
        watched = self.watched
        return [*([watched] if watched is not None else []), *self.leaving]

    # -- what happens -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a door process, if there is none."""
        if self.door is None and self._restart_at is None:
            self._start()

    def on_time(self, now: float) -> int | None:
        """Do what is due: the exit code of everything, or None: somebody goes on."""
        if self._restart_at is not None and now >= self._restart_at:
            self._restart_at = None
            self._start()
            if self.door is None and self._signals.stops > 0:
                say("nobody can be started who would stop it in good order: everything is ended now")
                return 1
        if self.upgrade is not None and now >= self.upgrade.deadline:
            self._give_up(self.upgrade, self.upgrade.late())
        for trial in self._trials():
            if trial.deadline is not None and now >= trial.deadline:
                trial.is_late()
        return None

    def on_ends(self, ended: Mapping[int, int]) -> int | None:
        """Some have ended, by pid, with that status: the exit code of everything, or None: somebody goes on."""
        trials = self._trials()
        # First of all: what follows from one end must not kill by the number of another one that has ended.
        for trial in trials:
            trial.running = trial.pid not in ended
        for door in self.doors:
            door.running = door.running and door.pid not in ended
        for trial in trials:
            if trial.pid in ended:
                trial.has_ended(ended[trial.pid])
                if self.upgrade is not None and trial is self.upgrade.trial:
                    self._on_trial(self.upgrade)
        self.leaving.on_ends(ended)
        code = None
        for door in reversed(self.doors):  # of two that have died the new one first: the old one is not left to it
            if door.pid in ended:
                code = self._ended(door, ended[door.pid])
        return code

    def kill(self) -> int:
        """End them all; the exit code."""
        for door in self.everyone:
            door.kill()
        return 1

    @property
    def _identity(self) -> Identity | None:
        """Who the door process runs as."""
        permits = self._custody.permits
        return permits.door if permits is not None else None

    def _start(self) -> None:
        try:
            self.door = DoorProcess.start(self._config, identity=self._identity)
        except (SpawnError, OSError) as error:
            self._restart_at = time.monotonic() + DELAYS[-1]
            say(f"the door process could not be started ({error}); trying again in {DELAYS[-1]:.0f} s")
        else:
            self.door.pulse.be_patient(self.deaths.hung_starts, time.monotonic())

    def _ended(self, door: DoorProcess, status: int) -> int | None:
        """What follows from the end of a door process: the exit code of everything; None: somebody goes on."""
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        if self.upgrade is not None and door is self.upgrade.new:
            self._give_up(self.upgrade, f"the new door process ended ({how}) {self.upgrade.step.value}")
            return None
        door.silence()
        self._hear_out(door)  # its last words: ``bye`` may be among them
        door.let_go()
        self.door = None
        upgrade = self.upgrade
        if self._custody.leave_with is not None:
            if upgrade is not None:
                upgrade.discard()
            return self._custody.leave_with
        if not self._custody.serving:
            if status < 0:
                say(f"the door process was ended by signal {-status} before it served")
            return status if status > 0 else 1  # it never served, and it has said why
        self.renewals.forget()
        death = self._death(door, status)
        delay = self.deaths.add(death)
        if upgrade is not None and upgrade.step is not Step.STARTING:
            say(f"the door process ended ({death.how}) during its upgrade: the new one takes over")
            self.take_over(upgrade)
            return None
        if upgrade is not None:
            upgrade.discard()  # the next one is started from the same code
            self.upgrade = None
        self._signals.repeat_stops()
        self._restart_at = death.at + delay
        say(f"the door process ended ({death.how}) and is started again; listeners and backends are kept")
        return None

    def _death(self, door: DoorProcess, status: int) -> Death:
        now = time.monotonic()
        lived = max(0.0, now - door.silent - door.served_at) if door.served else 0.0
        death = Death(now, status, door.served, lived, door.silent)
        suspect = in_hand(self._custody.vault.get(WORDS))
        return replace(death, suspect=suspect) if death.own_doing else death

    # -- two door processes -------------------------------------------------------------------------------------

    def begin_upgrade(self, door: DoorProcess, request: object) -> None:
        """``door`` has asked for another one in its place."""
        try:
            if self.upgrade is not None or door is not self.door:
                raise OSError(errno.EBUSY, "another upgrade is under way")
            if self.renewals.current is not None:
                raise OSError(errno.EBUSY, "the last upgrade is not at its end: the keeper is being renewed")
            if self.leaving.full:
                many = f"{len(self.leaving)} earlier door processes still finish requests that they have"
                raise OSError(errno.EBUSY, f"{many}: try again when one of them has ended")
            if not self._custody.serving:
                raise OSError(errno.EBUSY, "it does not serve yet")
            trial = self.renewals.try_out()
            try:
                self.upgrade = Upgrade(door, request, self._config, trial, self._identity)
            except BaseException:
                trial.let_go()
                raise
        except OSError as error:
            door.answer(request, {"error": error.strerror or str(error), "errno": error.errno})
        except SpawnError as error:
            door.answer(request, {"error": str(error), "errno": None})

    def yielded(self, upgrade: Upgrade, error: object, *, stays: bool = False) -> None:
        """The old one stands still; or it has said why it does not. ``stays``: it has something to finish later."""
        if error is not None:
            self._give_up(upgrade, str(error)[:2000])
            return
        upgrade.has_yielded(stays=stays)
        hello = upgrade.hello()
        if hello is not None:
            self._answer(upgrade.new, hello)

    def _give_up(self, upgrade: Upgrade, why: str, output: Sequence[str] | None = None) -> None:
        self.upgrade = None
        upgrade.give_up(why, output)
        upgrade.old.pulse.resume(time.monotonic())
        self._resumed()

    def take_over(self, upgrade: Upgrade) -> None:
        """The new one is the door process from here on."""
        self.upgrade, self.door = None, upgrade.new
        hello = upgrade.hello()
        upgrade.take_over(self.leaving)
        self._signals.repeat_stops()
        upgrade.new.pulse.resume(time.monotonic())
        if hello is not None:
            self._answer(upgrade.new, hello)
        self._resumed()

    def _trials(self) -> list[Trial]:
        """Those that have not ended."""
        under_way = (self.upgrade, self.renewals.current)
        return [one.trial for one in under_way if one is not None and one.trial.running]

    def _on_trial(self, upgrade: Upgrade) -> None:
        if upgrade.trial.why is not None:
            self._give_up(upgrade, upgrade.trial.why, upgrade.trial.output)
        else:
            upgrade.go_on()
