"""The metrics of frontdoor and its doors, for Prometheus: what ``GET /metrics`` shows.

They are made from what ``status --json`` shows at that moment, so that both say the same, and from a few more figures.
Nothing is counted for them where bytes move. Those of generations are in ``generations``.
"""

import platform
from collections.abc import Iterable, Iterator
from itertools import chain

from prometheus_client.metrics_core import Metric

from frontdoor.observe.metrics.family import DOOR, Family, HistogramFamily, HistogramRow, Row, Seen, one, per_door
from frontdoor.observe.metrics.generations import GENERATIONS
from frontdoor.observe.metrics.lag import BOUNDS
from frontdoor.observe.metrics.meters import OUTCOMES, READY, RELOADS, SWAP, UPGRADES
from frontdoor.policy.generation import State
from frontdoor.policy.ledger import Reason


def families(seen: Seen) -> Iterator[Metric]:
    """All of them. Each is made when it is taken: let others run in between."""
    for family in chain(WHOLE, DOORS, GENERATIONS):
        yield family.metric(seen)


# -- where values come from that are not in one place of the status ---------------------------------------------------


def _build(seen: Seen) -> Iterable[Row]:
    return [((seen.status["frontdoor"], platform.python_version()), 1)]


def _ended(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        ended = door["streams"]["ended"]
        for reason in Reason:  # those that have not occurred, too: an increase from nothing to one is to be seen
            yield (door["name"], reason.value), ended.get(reason.value, 0)


def _states(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        there = [generation["state"] for generation in door["generations"]]
        for state in State:
            yield (door["name"], state.value), there.count(state.value)


def _connections(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        if (there := door.get("connections")) is not None:
            yield (door["name"], "busy"), there["open"] - there["idle"]
            yield (door["name"], "idle"), there["idle"]


def _is_up(door: object) -> bool:
    """Whether it has an active generation, and a process of that takes streams."""
    assert isinstance(door, dict)
    active = next((each for each in door["generations"] if each["id"] == door["active"]), None)
    return active is not None and any(process["state"] == "up" for process in active["processes"])


def _swaps(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        meters = seen.figures.meters.door(door["name"])
        for outcome in OUTCOMES.values():
            yield (door["name"], outcome), meters.count(outcome)


def _swap_times(seen: Seen) -> Iterable[HistogramRow]:
    for door in seen.doors:
        for outcome, times in seen.figures.meters.door(door["name"]).swaps.items():
            yield (door["name"], outcome), times.cumulative, times.sum


def _ready_times(seen: Seen) -> Iterable[HistogramRow]:
    for door in seen.doors:
        times = seen.figures.meters.door(door["name"]).ready
        yield (door["name"],), times.cumulative, times.sum


def _limits(seen: Seen) -> Iterable[Row]:
    for door in seen.doors:
        known = seen.figures.meters.door(door["name"]).limits
        for limit in sorted({"connections", *known}):
            yield (door["name"], limit), known[limit]


# -- the table --------------------------------------------------------------------------------------------------------

WHOLE: tuple[Family | HistogramFamily, ...] = (
    Family(
        "frontdoor_build_info",
        "Which frontdoor this is, and the Python it runs on; the value is always 1.",
        ("version", "python"),
        _build,
    ),
    Family(
        "frontdoor_uptime_seconds",
        "Seconds since frontdoor serve was started; an upgrade or a crash of its door process does not change it.",
        (),
        one(lambda seen: seen.status["uptime_s"]),
    ),
    Family(
        "frontdoor_vault_streams",
        "Open streams that would live through a crash of the door process, because the keeper has them, too.",
        (),
        one(lambda seen: seen.status["vault"]["streams"]),
    ),
    Family(
        "frontdoor_vault_streams_limit",
        "So many streams the vault takes at the most.",
        (),
        one(lambda seen: seen.status["vault"]["limit"]["streams"]),
    ),
    Family(
        "frontdoor_vault_full",
        "1 while the vault takes no more: the newest streams would not live through a crash. Else 0.",
        (),
        one(lambda seen: seen.status["vault"]["full"]),
    ),
    Family(
        "frontdoor_earlier_requests",
        "Requests that door processes from before an upgrade have not finished yet.",
        (),
        one(lambda seen: sum(each["requests"] for each in seen.status["earlier"])),
    ),
    HistogramFamily(
        "frontdoor_loop_lag_seconds",
        "How late the door process does what is due, looked at four times a second while there is traffic:"
        " so long everybody waits.",
        (),
        BOUNDS,
        lambda seen: [((), seen.figures.lag.cumulative, seen.figures.lag.sum)],
    ),
    Family(
        "frontdoor_reloads_total",
        "Reloads of the config, by outcome. Begins anew with each door process.",
        ("outcome",),
        lambda seen: [((each,), seen.figures.meters.reloads[each]) for each in RELOADS.values()],
    ),
    Family(
        "frontdoor_upgrades_total",
        "Upgrades of frontdoor itself, by outcome. Begins anew with each door process: after a good one it is 1.",
        ("outcome",),
        lambda seen: [((each,), seen.figures.meters.upgrades[each]) for each in UPGRADES.values()],
    ),
    Family(
        "frontdoor_log_lines_dropped_total",
        "Lines of frontdoor's own log that were lost, because whoever reads it is too slow or gone.",
        (),
        one(lambda seen: seen.status["log"]["dropped"]),
    ),
    Family(
        "process_cpu_seconds_total",
        "CPU time of the door process, user and system, in seconds.",
        (),
        one(lambda seen: seen.figures.usage.cpu_seconds),
    ),
    Family(
        "process_resident_memory_bytes",
        "Resident memory of the door process.",
        (),
        one(lambda seen: seen.figures.usage.resident_bytes),
    ),
    Family(
        "process_open_fds",
        "Descriptors that the door process has open: two for each stream, and some more.",
        (),
        one(lambda seen: seen.figures.usage.open_descriptors),
    ),
    Family(
        "process_max_fds",
        "Descriptors that it may have open (RLIMIT_NOFILE).",
        (),
        one(lambda seen: seen.figures.usage.most_descriptors),
    ),
    Family(
        "process_start_time_seconds",
        "When the door process was started, in seconds since the epoch: it changes with an upgrade, and after a crash.",
        (),
        one(lambda seen: seen.figures.usage.started),
    ),
)
"""Of frontdoor as a whole, and of its door process. The names of the latter are those that Prometheus has for them."""

DOORS: tuple[Family | HistogramFamily, ...] = (
    Family(
        "frontdoor_door_up",
        "1 while the door has an active generation with a process that takes streams. Else 0: nobody is served.",
        DOOR,
        per_door(_is_up),
    ),
    Family(
        "frontdoor_door_paused",
        "1 while the door is paused, and new clients wait.",
        DOOR,
        per_door(lambda door: door["paused"]),
    ),
    Family(
        "frontdoor_door_maintenance",
        "1 while the door answers all requests with 503, because somebody said maintenance on.",
        DOOR,
        per_door(lambda door: door["maintenance"] is not None),
    ),
    Family(
        "frontdoor_streams_accepted_total",
        "Streams accepted: connections, in an http door requests. Always the sum of those open and those ended.",
        DOOR,
        per_door(lambda door: door["streams"]["accepted"]),
    ),
    Family(
        "frontdoor_streams_open",
        "Streams that are open now.",
        DOOR,
        per_door(lambda door: door["streams"]["open"]),
    ),
    Family(
        "frontdoor_streams_ended_total",
        "Streams that have ended, by reason; the reasons are those of the ledger.",
        (*DOOR, "reason"),
        _ended,
    ),
    Family(
        "frontdoor_streams_limit",
        "So many streams may be open at once; past it clients wait in the kernel's queue.",
        DOOR,
        per_door(lambda door: door["limit"]["connections"]),
    ),
    Family(
        "frontdoor_streams_limited",
        "1 while nobody is accepted, because a limit is reached. Else 0.",
        DOOR,
        per_door(lambda door: door["limit"]["reached"]),
    ),
    Family(
        "frontdoor_limit_reached_total",
        "How often a limit was reached, by limit; once for an episode. Begins anew with each door process.",
        (*DOOR, "limit"),
        _limits,
    ),
    Family(
        "frontdoor_http_connections",
        "Client connections of an http door: busy with a request, or idle between two.",
        (*DOOR, "state"),
        _connections,
    ),
    Family(
        "frontdoor_generations",
        "Generations that status shows, by state; of those that have ended it shows the last few.",
        (*DOOR, "state"),
        _states,
    ),
    Family(
        "frontdoor_swap_under_way",
        "1 while a swap, a restart or a rollback of the door has no certain outcome yet. Else 0.",
        DOOR,
        per_door(lambda door: door["swap"] is not None),
    ),
    Family(
        "frontdoor_swaps_total",
        "Swaps, restarts and rollbacks by outcome. Begins anew with each door process.",
        (*DOOR, "outcome"),
        _swaps,
    ),
    HistogramFamily(
        "frontdoor_swap_duration_seconds",
        "From asking for a swap to its outcome, the probation included. Begins anew with each door process.",
        (*DOOR, "outcome"),
        SWAP,
        _swap_times,
    ),
    HistogramFamily(
        "frontdoor_ready_duration_seconds",
        "From the start of a backend process until it was ready. Begins anew with each door process.",
        DOOR,
        READY,
        _ready_times,
    ),
    Family(
        "frontdoor_hook_failures_total",
        "Hooks that have failed. Begins anew with each door process.",
        DOOR,
        lambda seen: [((door["name"],), seen.figures.meters.door(door["name"]).hook_failures) for door in seen.doors],
    ),
    Family(
        "frontdoor_access_log_lines_dropped_total",
        "Lines of the door's access log that were lost, because it cannot be written fast enough, or not at all.",
        DOOR,
        lambda seen: [((name,), dropped) for name, dropped in seen.figures.access_log_dropped.items()],
    ),
)
"""Of each door."""
