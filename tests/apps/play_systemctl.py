"""Plays systemctl(1) for tests of a deploy: starts and stops what a template unit says, in the folder $PLAYGROUND.

What it does not know, as an option, it refuses: a script must not pass here that would not pass there.
"""

import os
import shlex
import shutil
import sys

from apps import apart

FOLDER = os.environ["PLAYGROUND"]


def settings(unit: str) -> dict[str, str]:
    """What stands in the template, for that instance of it."""
    template, _, instance = unit.removesuffix(".service").partition("@")
    with open(f"{FOLDER}/{template}@.service") as file:
        lines = [line.strip().replace("%i", instance).partition("=") for line in file if line[0] not in "#[\n"]
    return {key: value for key, _, value in lines}


def enable(unit: str) -> None:
    if apart.is_there(unit):
        return
    told = settings(unit)
    os.umask(0)
    os.makedirs(f"{FOLDER}/run-of-units/{told['RuntimeDirectory']}", int(told["RuntimeDirectoryMode"], 8))
    os.umask(0o022)
    environment = dict(word.split("=", 1) for word in shlex.split(told["Environment"]))
    environment["PATH"] = os.environ["PATH"]
    command, umask = shlex.split(told["ExecStart"]), int(told["UMask"], 8)
    apart.start(unit, command, cwd=told["WorkingDirectory"], env=environment, umask=umask)


def disable(unit: str) -> None:
    apart.stop(unit)
    apart.remove(unit)
    shutil.rmtree(f"{FOLDER}/run-of-units/{settings(unit)['RuntimeDirectory']}")


match sys.argv[1:]:
    case ["enable", "--now", unit]:
        enable(unit)
    case ["disable", "--now", unit]:
        disable(unit)
    case ["list-units", "--all", "--plain", "--no-legend", "app@*.service"]:
        for unit in apart.names():
            print(f"{unit} loaded active running the shop")
    case words:
        raise SystemExit(f"systemctl: {words}")
