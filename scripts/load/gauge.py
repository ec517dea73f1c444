"""What a process holds, read from /proc: descriptors by kind, threads, children, memory."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterator

MB = 1_000_000
CONNECTED = "03"  # a socket's state in /proc/net/unix


@dataclasses.dataclass(frozen=True)
class Gauge:
    """What one process held at one moment."""

    descriptors: dict[str, int]  # how many of each kind: "socket", "pipe", "eventpoll", …, or a file's path
    threads: int
    children: int
    resident: int  # bytes

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.descriptors.items()))
        return (
            f"{sum(self.descriptors.values())} descriptors ({kinds}), {self.threads} threads, "
            f"{self.children} children, {self.resident / MB:.2f} MB resident"
        )


def gauge(pid: int) -> Gauge:
    """Read them. Raises OSError when there is no such process, or it is another user's."""
    status = _status(pid)
    return Gauge(
        descriptors=dict(collections.Counter(_descriptors(pid))),
        threads=int(status["Threads"]),
        children=sum(1 for parent in _parents() if parent == pid),
        resident=int(status["VmRSS"].split()[0]) * 1024,
    )


def seconds(pid: int) -> float:
    """Of CPU that the process has used, fields 14 and 15 of proc_pid_stat(5). Raises OSError when there is none."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()  # the name before it may hold anything
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def leaks(name: str, before: Gauge, after: Gauge) -> list[str]:
    """What `name` holds more of than before, a line each; memory apart. Fewer is none: something has been tidied up."""
    kinds = {**dict.fromkeys(before.descriptors, 0), **after.descriptors}
    counts = {f"descriptors ({kind})": (before.descriptors.get(kind, 0), count) for kind, count in kinds.items()}
    counts |= {"threads": (before.threads, after.threads), "children": (before.children, after.children)}
    return [f"{name}: {what}: {was} before, {now} after" for what, (was, now) in counts.items() if now > was]


def is_being_asked(control: str) -> bool:
    """Whether a connection to that control socket is open yet: the server closes its end after the client.

    That end has the socket's name (unix(7)).
    """
    with open("/proc/net/unix") as sockets:
        ends = [line.split() for line in sockets if line.rstrip().endswith(control)]
    return any(end[5] == CONNECTED for end in ends)


def _descriptors(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for number in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{number}")
        except FileNotFoundError:
            continue  # closed since
        kind = re.sub(r"^anon_inode:", "", re.sub(r"^(socket|pipe):\[[0-9]+\]$", r"\1", target))
        # A generation's files have its number in them: it is how many there are that counts.
        yield re.sub(r"[0-9]+", "N", kind.strip("[]"))


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def _parents() -> Iterator[int]:
    """The parent of every process, of one that nobody has reaped too."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as file:
                    yield int(file.read().rpartition(")")[2].split()[1])  # the name before it may hold anything
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has ended
