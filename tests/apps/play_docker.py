"""Plays docker(1) for tests of a deploy: an image is the folder $PLAYGROUND/images/TAG, with an app.py in it.

What it does not know, as an option, it refuses. The app has a mount namespace with the volume in it, and a network
namespace, as in a container; where this machine allows none, the variables are given the paths of the host instead.
"""

import os
import shutil
import subprocess
import sys

from apps import apart

FOLDER = os.environ["PLAYGROUND"]
UNSHARE = ["unshare", "--mount", "--net"]


def may_unshare() -> bool:
    if shutil.which("unshare") is None or shutil.which("setpriv") is None or os.getuid() != 0:
        return False
    return subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True).returncode == 0


def run(name: str, user: str, volume: str, told: list[str], image: str) -> None:
    host, _, inside = volume.partition(":")
    command = [sys.executable, "-I", "app.py"]
    if may_unshare():
        uid, _, gid = user.partition(":")
        mount = 'mount -t tmpfs none /run && mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'
        as_whom = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        command = [*UNSHARE, "sh", "-c", mount, host, inside, *as_whom, *command]
    else:
        told = [word.replace(inside, host, 1) for word in told]
    environment = {"PATH": os.environ["PATH"], **dict(word.split("=", 1) for word in told)}
    folder = f"{FOLDER}/images/{image.removeprefix('shop:')}"
    if not os.path.isdir(folder) or apart.is_there(name):
        raise SystemExit(f"there is no image {image}, or a container {name} already")
    apart.start(name, command, cwd=folder, env=environment)


match sys.argv[1:]:
    case ["run", "--detach", "--name", name, "--restart", "unless-stopped", "--user", user, "--volume", volume, *rest]:
        *told, image = rest
        assert told[::2] == ["--env"] * (len(told) // 2)
        run(name, user, volume, told[1::2], image)
    case ["ps", "--all", "--filter", "name=^shop-", "--format", "{{.Names}}"]:
        print("\n".join(apart.names()))
    case ["stop", "--time", seconds, name]:
        apart.stop(name, int(seconds))
        with open(f"{FOLDER}/{name}-stopped", "w"):
            pass
    case ["rm", name]:
        os.unlink(f"{FOLDER}/{name}-stopped")  # docker, too, removes none that runs
        apart.remove(name)
    case words:
        raise SystemExit(f"docker: {words}")
