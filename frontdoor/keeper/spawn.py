"""Starting a child process: fork, a clean slate, exec.

``subprocess`` cannot do what is needed here: the death signal has to be set after the change of user (setuid clears
it), and, for socket activation, the child's own pid has to be in its environment. One thread, so fork is safe.
"""

import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from frontdoor.keeper.identity import Identity

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_LOWER = 3
_CAP_NET_BIND_SERVICE = 10
_libc = ctypes.CDLL(None, use_errno=True)

_NOT_INHERITED = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FRONTDOOR_LOG_FORMAT",
)
"""What is said to frontdoor itself, mostly by systemd: a backend that read it would answer in frontdoor's name."""

_FIRST_PASSED = 3
"""The descriptor at which a passed listener is expected (sd_listen_fds(3), SD_LISTEN_FDS_START)."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``env`` is laid over the keeper's own environment."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    identity: Identity | None = None
    """Who it runs as; None: as the keeper does."""
    folder: str | None = None
    """A folder that is given to that user."""
    for_good: bool = False
    """Neither it nor what it starts can come to more rights by a program that gives them (prctl(2), NO_NEW_PRIVS)."""
    death_signal: int = signal.SIGKILL
    """Sent by the kernel when the keeper dies."""
    stdin: int | None = None
    """The descriptor that becomes stdin; None: /dev/null."""
    listener: int | None = None
    """A listening socket, passed as sd_listen_fds(3) says."""
    output: int | None = None
    """The descriptor that becomes stdout and stderr; None: the keeper's own."""
    errors: int | None = None
    """The descriptor that becomes stderr alone; None: as ``output`` says."""
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
        # Out of the way of a listener, which has to have a certain number.
        failed = fcntl.fcntl(failed, fcntl.F_DUPFD_CLOEXEC, _FIRST_PASSED + 1)
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
    _hand_over(program, failed)
    if program.nofile is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, program.nofile)
    if program.identity is not None:
        _change_user(program, program.identity)
    # systemd's AmbientCapabilities= is for the keeper, which opens the port: nobody else has to (capabilities(7)).
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, _CAP_NET_BIND_SERVICE, 0, 0)
    if program.for_good:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Only now: a change of user clears it (prctl(2)).
    _libc.prctl(_PR_SET_PDEATHSIG, int(program.death_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)  # the keeper died between the fork and the prctl: nobody would ever end this child
    if program.cwd is not None:
        _enter(program.cwd)
    os.execvpe(program.argv[0], list(program.argv), _environment(program))  # noqa: S606 - a list, never a shell line


def _hand_over(program: Program, failed: int) -> None:
    """Leave open what the child is to have, under its number, and nothing else."""
    os.dup2(program.stdin if program.stdin is not None else os.open(os.devnull, os.O_RDWR), 0)
    if program.output is not None:
        os.dup2(program.output, 1)
        os.dup2(program.output, 2)
    if program.errors is not None:
        os.dup2(program.errors, 2)
    open_ones = {*program.keep, failed}
    if program.listener is not None:
        os.dup2(program.listener, _FIRST_PASSED)
        open_ones.add(_FIRST_PASSED)
    for fd in open_ones - {failed}:
        os.set_inheritable(fd, True)  # dup2 onto its own number changes nothing
    _close_all_but(open_ones)


def _change_user(program: Program, identity: Identity) -> None:
    """Be somebody else for good: real, effective and saved ids, so that there is no way back."""
    try:
        os.setgroups(identity.groups)
        if program.folder is not None:
            os.chown(program.folder, identity.uid, identity.gid)
        if program.output is not None:  # else who logs to /dev/stdout, which opens the pipe anew, would not be let in
            os.fchown(1, identity.uid, identity.gid)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except PermissionError:
        raise SpawnError(f"only root can start it as {identity}, and frontdoor does not run as root") from None
    except OSError as error:
        raise SpawnError(f"it cannot be started as {identity}: {error.strerror}") from None


def _environment(program: Program) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    if program.identity is not None:
        env.update(program.identity.env)
    env.update(program.env)
    if program.listener is not None:
        env.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="frontdoor")
    return env


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
