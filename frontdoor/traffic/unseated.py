"""A client that has no backend yet, as one door process hands it to the next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unseated:
    """He was accepted. Nothing was read of what he has to say to a backend, but by an http door."""

    fd: int
    address: object
    """As accept(2) gave it, or as his PROXY header says."""
    destination: object
    """Where he had connected to, if a PROXY header said so; None: to the socket that he is on."""
    since: float
    """On the monotonic clock, which is one for the whole machine."""
    header: bytes | None = None
    """What has come of the PROXY header that he owes; None: he owes none."""
    read: bytes = b""
    """What was read of his next request, at an http door."""
    counted: bool = True
    """He is a stream in the ledger's words; at an http door he is none between two requests."""
