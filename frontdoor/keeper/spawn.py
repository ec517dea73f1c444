"""Starting a child process: fork, a clean slate, exec.

``subprocess`` cannot do what is needed here: the death signal has to be set after the change of user (setuid clears
it), and, for socket activation, the child's own pid has to be in its environment. One thread, so fork is safe.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

_NOT_INHERITED = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)
"""What systemd says to frontdoor itself: a backend that read it would answer in frontdoor's name."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``env`` is laid over the keeper's own environment."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    death_signal: int = signal.SIGKILL
    """Sent by the kernel when the keeper dies."""
    output: int | None = None
    """The descriptor that becomes stdout and stderr; None: the keeper's own."""
    keep: Sequence[int] = ()
    """Descriptors that stay open in the child, under the same number."""
    nofile: tuple[int, int] | None = None
    """Soft and hard RLIMIT_NOFILE of the child: what the keeper itself was started with."""


class SpawnError(Exception):
    """The command could not be started; the text says why."""


def become_subreaper() -> None:
    """Orphans of backends come to the keeper, not to init, so that their group can be watched to its end (prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(program: Program) -> int:
    """Start ``program`` in a session of its own; the pid. Returns once it is running its own code.

    Raises SpawnError when it cannot be executed, OSError when there is no process to be had.
    """
    parent = os.getpid()
    failed_r, failed_w = os.pipe2(os.O_CLOEXEC)
    # A Ctrl-C that reached the child before its setsid would be written into this process' wake-up pipe by its copy
    # of the handler, and count here as a second one.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _run(program, parent, failed_w)
    except OSError:
        os.close(failed_r)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(failed_w)
    with open(failed_r, "rb") as failed:
        reason = failed.read()  # until exec closes the other end: at once
    if reason:
        os.waitpid(pid, 0)
        raise SpawnError(reason.decode(errors="replace"))
    return pid


def _run(program: Program, parent: int, failed: int) -> NoReturn:
    """Be the child: nothing of the parent's Python may go on here."""
    try:
        _become(program, parent, failed)
    except BaseException as error:
        os.write(failed, _reason(program, error).encode(errors="replace")[:4000])
    finally:
        os._exit(127)


def _become(program: Program, parent: int, failed: int) -> None:
    os.setsid()  # a Ctrl-C at the terminal reaches the keeper alone, and the group can be signalled as a whole
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # Python ignores SIGPIPE, and ignored signals stay ignored over exec. SIGKILL and SIGSTOP cannot be set.
        if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_IGN)  # forgets one that is pending: it was meant for the keeper
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    if program.output is not None:
        os.dup2(program.output, 1)
        os.dup2(program.output, 2)
    for fd in program.keep:
        os.set_inheritable(fd, True)
    _close_all_but({*program.keep, failed})
    if program.nofile is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, program.nofile)
    _libc.prctl(_PR_SET_PDEATHSIG, int(program.death_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)  # the keeper died between the fork and the prctl: nobody would ever end this child
    if program.cwd is not None:
        _enter(program.cwd)
    env = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    env.update(program.env)
    os.execvpe(program.argv[0], list(program.argv), env)  # noqa: S606 - an argument list, never a shell line


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise SpawnError(f"the folder to start it in does not exist: {folder}") from None
    except OSError as error:
        raise SpawnError(f"it cannot be started in the folder {folder}: {error.strerror}") from None


def _close_all_but(keep: set[int]) -> None:
    """What whoever started frontdoor left open would stay open in a backend for ever."""
    first = 3
    for fd in sorted(keep):
        os.closerange(first, fd)
        first = max(first, fd + 1)
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _reason(program: Program, error: BaseException) -> str:
    if isinstance(error, SpawnError):
        return str(error)
    if not program.argv:
        return "there is no command to start"
    if isinstance(error, FileNotFoundError):
        return f"command not found: {program.argv[0]}"
    if isinstance(error, PermissionError):
        return f"not allowed to run {program.argv[0]} (is it executable?)"
    return f"{program.argv[0]}: {error}"
