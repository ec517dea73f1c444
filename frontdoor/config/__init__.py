"""The config file: TOML in, frozen settings out, every mistake named with its key and its line.

The names below are loaded when they are first used: the command line needs only `runtime`, and must not pay
for pydantic (some 100 ms) before it has said a word.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontdoor.config.backends import BackendSettings, Launch, UnknownVersion
    from frontdoor.config.canary import CanarySettings
    from frontdoor.config.difference import changes
    from frontdoor.config.drain import DrainNotify, DrainSettings
    from frontdoor.config.file import Settings, load, parse
    from frontdoor.config.http import HttpSettings
    from frontdoor.config.problem import ConfigError, Problem
    from frontdoor.config.process import FrontdoorSettings
    from frontdoor.config.ready import ReadyCheck, ReadySettings
    from frontdoor.config.settings import (
        DoorSettings,
        HealthSettings,
        HooksSettings,
        LimitsSettings,
        ProbationSettings,
        SwapSettings,
    )

__all__ = [
    "BackendSettings",
    "CanarySettings",
    "ConfigError",
    "DoorSettings",
    "DrainNotify",
    "DrainSettings",
    "FrontdoorSettings",
    "HealthSettings",
    "HooksSettings",
    "HttpSettings",
    "Launch",
    "LimitsSettings",
    "ProbationSettings",
    "Problem",
    "ReadyCheck",
    "ReadySettings",
    "Settings",
    "SwapSettings",
    "UnknownVersion",
    "changes",
    "load",
    "parse",
]

_HOMES = {
    "frontdoor.config.backends": ("BackendSettings", "Launch", "UnknownVersion"),
    "frontdoor.config.canary": ("CanarySettings",),
    "frontdoor.config.difference": ("changes",),
    "frontdoor.config.drain": ("DrainNotify", "DrainSettings"),
    "frontdoor.config.file": ("Settings", "load", "parse"),
    "frontdoor.config.http": ("HttpSettings",),
    "frontdoor.config.problem": ("ConfigError", "Problem"),
    "frontdoor.config.process": ("FrontdoorSettings",),
    "frontdoor.config.ready": ("ReadyCheck", "ReadySettings"),
    "frontdoor.config.settings": (
        "DoorSettings",
        "HealthSettings",
        "HooksSettings",
        "LimitsSettings",
        "ProbationSettings",
        "SwapSettings",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value  # the next look finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
