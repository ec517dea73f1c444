"""The control API: the contract's calls, as a Starlette application over an :class:`Operator`.

Every answer is JSON: one object, or for what takes time one object a line (NDJSON), of which the last has
``result`` and ``exit_code``. Whatever is refused is one object with ``error`` and ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.routing import Route

from .changes import Changes
from .followers import Followers
from .looks import Looks
from .operator import Operator
from .refusals import HANDLERS


def app(operator: Operator, more: Iterable[Route] = (), followers: int | None = None, hint: str = "") -> Starlette:
    """Return the ASGI application for `operator`; `more` it answers as well.

    `followers`, `hint`: how many may follow at once, and what is said to who comes then: see :class:`Followers`.
    """
    crowd = Followers(followers, hint)
    looks, changes = Looks(operator, crowd), Changes(operator, crowd)
    routes = [
        Route("/v1/status", looks.status),
        Route("/v1/streams", looks.streams),
        Route("/v1/events", looks.events),
        Route("/v1/live", looks.live),
        Route("/v1/logs", looks.logs),
        Route("/metrics", looks.metrics),
        Route("/healthz", looks.healthz),
        Route("/v1/doors/{door}/swap", changes.swap, methods=["POST"]),
        Route("/v1/doors/{door}/canary", changes.canary, methods=["POST"]),
        Route("/v1/doors/{door}/promote", changes.promote, methods=["POST"]),
        Route("/v1/doors/{door}/abort", changes.abort, methods=["POST"]),
        Route("/v1/doors/{door}/swaps/{number:int}", changes.follow_swap),
        Route("/v1/doors/{door}/reports", looks.reports),
        Route("/v1/doors/{door}/reports/{number}", looks.report),
        Route("/v1/doors/{door}/rollback", changes.rollback, methods=["POST"]),
        Route("/v1/doors/{door}/restart", changes.restart, methods=["POST"]),
        Route("/v1/doors/{door}/drain", changes.drain, methods=["POST"]),
        Route("/v1/doors/{door}/pause", changes.pause, methods=["POST"]),
        Route("/v1/doors/{door}/resume", changes.resume, methods=["POST"]),
        Route("/v1/doors/{door}/maintenance", changes.maintenance, methods=["POST"]),
        Route("/v1/reload", changes.reload, methods=["POST"]),
        Route("/v1/upgrade", changes.upgrade, methods=["POST"]),
        Route("/v1/upgrades/{number:int}", changes.follow_upgrade),
        Route("/v1/stop", changes.stop, methods=["POST"]),
        *more,
    ]
    starlette = Starlette(routes=routes, exception_handlers=HANDLERS)
    # "/v1/status/" is a 404 in JSON like any other path, not an empty redirect.
    starlette.router.redirect_slashes = False
    return starlette
