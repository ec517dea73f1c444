"""What a generation is started from."""

from dataclasses import dataclass
from typing import Any

from frontdoor.config import BackendSettings, ReadySettings, Settings, parse


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a version and to tell when it is ready: as the config said when somebody asked for it."""

    version: str
    backend: BackendSettings
    ready: ReadySettings
    text: str
    """Of the config file that ``backend`` is from."""

    def encode(self) -> dict[str, Any]:
        """As JSON's values: the next door process needs it to go on with the generation.

        The checks apart from the text: a swap takes them as they were applied, and only ``backend`` from the file.
        """
        return {"text": self.text, "ready": self.ready.as_table()}

    @classmethod
    def decode(cls, data: dict[str, Any], applied: Settings, door: str, version: str) -> "Recipe":
        """From JSON's values. ``applied``: the config, mostly of the same text: then that is not read again.

        Raises ConfigError, UnknownVersion, KeyError when they are something else.
        """
        text = data["text"]
        settings = (applied if text == applied.text else parse(text, applied.path)).doors[door]
        return cls(version, settings.backend(version), ReadySettings.model_validate(data["ready"]), text)
