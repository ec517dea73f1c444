"""The history: what a door served before the present generation, and so where a rollback leads."""

from dataclasses import dataclass

from frontdoor.policy.generation import Generation


@dataclass(frozen=True, slots=True)
class Past:
    """What served before the present one."""

    version: str
    number: int | None = None
    """Of its generation; None: frontdoor was restarted since."""

    @property
    def id(self) -> str:
        """The generation's name, or that of its version."""
        return self.version if self.number is None else f"{self.version}#{self.number}"


@dataclass(frozen=True, slots=True)
class History:
    """As much of the past as a rollback needs."""

    previous: Past | None = None
    """What was active right before the present generation. It may be another start of the same version."""
    earlier: str | None = None
    """The version that was active before the present version."""

    def switched(self, old: Generation, new: Generation) -> "History":
        """``new`` is active from here on, and ``old`` was."""
        earlier = self.earlier if old.version == new.version else old.version
        return History(Past(old.version, old.number), earlier)

    @classmethod
    def resumed(cls, serves: str, last: str, earlier: str | None) -> "History":
        """After a restart of frontdoor: what serves now, what was active last, and what was before that."""
        before = earlier if serves == last else last
        return cls(Past(before) if before else None, before)

    def version_back(self, active: Generation | None) -> str | None:
        """The version to start for a rollback, when the previous generation does not run any more.

        To start the active version once more would be no way back. None: there is nothing to go back to.
        """
        if self.previous is None:
            return None
        same = active is not None and active.version == self.previous.version
        return (self.earlier if same else None) or self.previous.version
