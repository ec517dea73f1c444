"""What a scrape sees, written by the test: two doors, of which one has all that a door can have."""

import copy
from typing import Any

from frontdoor.observe.metrics.family import Seen
from frontdoor.observe.metrics.figures import Ages, Figures
from frontdoor.observe.metrics.histogram import Histogram
from frontdoor.observe.metrics.lag import BOUNDS
from frontdoor.observe.metrics.meters import Meters
from frontdoor.observe.metrics.process import Usage
from frontdoor.policy.conduct import Conduct


def generation(id_: str, state: str, **more: Any) -> dict[str, Any]:
    version, _, number = id_.partition("#")
    return {
        "id": id_,
        "version": version,
        "generation": int(number),
        "state": state,
        "since": "2026-11-22T09:00:00Z",
        "streams": {"open": 3, "total": 10},
        "bytes": {"up": 1000, "down": 90000},
        "failures": {"dials": 1, "early_closes": 2, "crashes": 3},
        "processes": [
            {"pid": 4720, "state": "up", "restarts": 2, "socket": "run/g2/0.sock"},
            {"pid": 4721, "state": "backing off", "restarts": 4, "socket": "run/g2/1.sock"},
        ],
    } | more


DRAIN = {"closed": 2, "waits": None, "closes_from_s": 10.0, "deadline_s": 60.0}

STATUS: dict[str, Any] = {
    "frontdoor": "0.1.0",
    "pid": 4711,
    "uptime_s": 12.5,
    "vault": {"streams": 8, "full": False, "limit": {"streams": 9000, "descriptors": None}},
    "earlier": [{"pid": 4700, "requests": 2}],
    "log": {"dropped": 17, "requests_dropped": 5},
    "doors": [
        {
            "name": "main",
            "active": "v2#2",
            "paused": False,
            "maintenance": None,
            "swap": {"number": 3, "phase": "canary"},
            "canary": {"generation": "v3#3", "share": "2.5%"},
            "streams": {"accepted": 120, "open": 9, "ended": {"client_closed": 80, "backend_closed": 31}},
            "limit": {"connections": 9000, "reached": False},
            "connections": {"open": 19, "idle": 10},
            "generations": [
                generation("v3#3", "ready"),
                generation("v2#2", "active"),
                generation("v1#1", "draining", drain=DRAIN),
            ],
        },
        {
            "name": "empty",
            "active": None,
            "paused": True,
            "maintenance": {"message": "back at nine", "since": "2026-11-22T09:00:00Z", "retry_after": None},
            "swap": None,
            "canary": None,
            "streams": {"accepted": 0, "open": 0, "ended": {}},
            "limit": {"connections": 9000, "reached": True},
            "generations": [],
        },
    ],
}


def figures(status: dict[str, Any] = STATUS) -> Figures:
    places = [(door["name"], each["id"]) for door in status["doors"] for each in door["generations"]]
    conduct = Conduct()
    for seconds in (0.0001, 0.0002, 0.002, 20.0):
        conduct.dialled(seconds, 1.0)
    return Figures(
        usage=Usage(1.5, 50 << 20, 40, 20000, 1795420059.77),
        meters=Meters(),
        lag=Histogram(BOUNDS),
        ages={place: Ages.of([10.0, 90.0], 100.0) for place in places},
        conduct=dict.fromkeys(places, conduct),
        access_log_dropped={door["name"]: 5 for door in status["doors"]},
    )


def seen(**of_main: Any) -> Seen:
    """The door main with these changes."""
    status = copy.deepcopy(STATUS)
    status["doors"][0] |= of_main
    return Seen(status, figures(status))
