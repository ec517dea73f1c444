"""The limit of open files: thousands of connections are held by the bench, by each proxy and by a backend."""

import resource

ENOUGH = 40_000  # more would only be memory that the peers reserve ahead


def open_files() -> int:
    """How many a process that we start may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def allow_many() -> None:
    """Let this process and all that it starts have as many as an ordinary user may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
