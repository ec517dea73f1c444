"""The settings of the whole process."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from frontdoor.config.addresses import check_runtime_dir
from frontdoor.config.admin import Admin, OwnHosts, warning
from frontdoor.config.backends import Table, context_of
from frontdoor.config.durations import Limited, Positive
from frontdoor.config.http import LOG_TO_STDERR
from frontdoor.config.problem import show_value
from frontdoor.config.runtime import beside, runtime_dir_shown, systemd_folder


class FrontdoorSettings(Table):
    """`[frontdoor]`: what is of the whole process. Both folders are absolute here."""

    runtime_dir: str = Field(default="", validate_default=True)
    state_dir: str = Field(default="", validate_default=True)
    user: str = ""
    group: str = ""
    admin: Admin = ""
    admin_hosts: OwnHosts = ()
    hang_timeout: Positive = 10.0
    protect_after: Limited = 1.0
    log_file: str = ""
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _runtime_dir_shown: str = PrivateAttr(default="")

    @field_validator("runtime_dir")
    @classmethod
    def _resolve_runtime_dir(cls, value: str, info: ValidationInfo) -> str:
        folder = beside(context_of(info)["path"], runtime_dir_shown(value or None))
        check_runtime_dir(folder, context_of(info)["longest_door"])
        return folder

    @field_validator("state_dir")
    @classmethod
    def _resolve_state_dir(cls, value: str, info: ValidationInfo) -> str:
        shown = value or systemd_folder("STATE_DIRECTORY")
        if shown is None:
            # Missing where runtime_dir itself is wrong: then there are no settings anyway.
            return str(info.data.get("runtime_dir", ""))
        return beside(context_of(info)["path"], shown)

    @field_validator("log_file")
    @classmethod
    def _resolve_log_file(cls, value: str, info: ValidationInfo) -> str:
        if value == LOG_TO_STDERR:
            return ""
        if value.endswith("/"):
            raise ValueError(f'{show_value(value)} is a folder: write the path of a file, or "" for stderr')
        return beside(context_of(info)["path"], value) if value else value

    def model_post_init(self, context: Any) -> None:
        """Keep runtime_dir as it was written, for people to read."""
        if context is not None:
            self._runtime_dir_shown = runtime_dir_shown(context["runtime_dir"])

    @property
    def runtime_dir_shown(self) -> str:
        """The runtime_dir as it was written ("run"), for display only."""
        return self._runtime_dir_shown

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid, and dangerous: sentences that begin with the key."""
        said = warning(self.admin)
        return (f"frontdoor.admin: {said}",) if said else ()
