"""docs/deploy.md: its scripts, run as they stand in examples/."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from e2e.harness import COMMAND, Frontdoor, environment, until
from e2e.recipes import ROOT, changed, read, write_program

TESTS = os.path.join(ROOT, "tests")
APP = read("tests/apps/cached.py")
BROKEN = "raise SystemExit('no module named shop_settings')\n"

FOR_TESTS = {
    '"127.0.0.1:8080"': '"127.0.0.1:0"',
    'check = "http:/healthz"': 'check = "http:/healthz"\ndeadline = "4s"',
    'bake = "30s"': 'bake = "2s"\nkeep_warm = "0s"',
}
"""What is otherwise in a test's config: it has no half minute, and no memory to keep versions for a rollback."""


class Shop(Frontdoor):
    """A folder like /srv/shop, with a deploy script in it."""

    def __init__(self, script: str, config: str) -> None:
        super().__init__("")
        self._script = script
        self.write(changed(read(f"examples/{config}").replace("/run/app-", f"{self._units}/app-"), FOR_TESTS))
        write_program(self.path(script), read(f"examples/{script}").replace("/srv/shop", self.folder))

    @property
    def _units(self) -> str:
        return self.path("run-of-units")

    def play(self, program: str) -> None:
        """What is called by that name is one of tests/apps, and not the machine's."""
        run = f"PYTHONPATH={TESTS} exec {sys.executable} -S {TESTS}/apps/play_{program}.py"
        write_program(self.path(f"bin/{program}"), f'#!/bin/sh\n{run} "$@"\n')

    @property
    def variables(self) -> dict[str, str]:
        path = f"{self.path('bin')}:{os.path.dirname(COMMAND)}:{os.environ['PATH']}"
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
        variables = {**quiet, "PATH": path, "PLAYGROUND": self.folder}
        if self._script == "deploy-unit.sh":  # it does not lie beside the config, and no frontdoor is in /run here
            variables["FRONTDOOR_CONTROL"] = self.path("run/control.sock")
        return variables

    def deploy(self, *release: str) -> subprocess.CompletedProcess[str]:
        """Run the script to its end, from another folder."""
        return subprocess.run(
            [self.path(self._script), *release],
            cwd="/",
            env=environment(**self.variables),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def deployed(self, release: str) -> str:
        """The same, which must work; what it showed."""
        done = self.deploy(release)
        assert done.returncode == 0, done
        assert self.visit() == release
        return done.stderr

    def visit(self, page: str = "/") -> str:
        """Get a page: the version that answers; "" if the connection is closed before an answer."""
        with closing(self.connect()) as client:
            client.say(f"GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r")
            head = list(iter(client.hear, ""))
        return next((line.split()[1] for line in head if line.startswith("X-Version")), "")

    @contextlib.contextmanager
    def visited(self) -> Iterator[None]:
        """Somebody comes again and again meanwhile, and is always served."""
        over, refused = threading.Event(), list[str]()

        def come() -> None:
            while not over.wait(0.02):
                if not self.visit():
                    refused.append("closed before an answer")

        visitor = threading.Thread(target=come)
        visitor.start()
        try:
            yield
        finally:
            over.set()
            visitor.join()
        assert not refused

    def built(self, version: str, app: str = APP, age: int = 0) -> None:
        """A release that is built already. ``age``: of its folder, in hours."""
        folder = self.path(f"releases/{version}")
        os.makedirs(f"{folder}/venv/bin")
        os.symlink(sys.executable, f"{folder}/venv/bin/python")
        for name, text in ((".built", ""), ("app.py", app)):
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        now = os.stat(folder).st_mtime
        os.utime(folder, (now, now - age * 3600))

    @property
    def releases(self) -> set[str]:
        return set(os.listdir(self.path("releases")))

    @property
    def runs(self) -> list[str]:
        """The units, or the containers, that there are."""
        return sorted(os.listdir(self.path("started")))

    def drained(self, generation: str) -> None:
        """Wait until that generation has stopped."""
        until(lambda: self.generation(generation)["state"] == "stopped", f"{generation} has stopped")

    def close(self) -> None:
        """Stop what runs apart from frontdoor, too."""
        script = "from apps import apart; [apart.stop(name) for name in apart.names()]"
        variables = {**self.variables, "PYTHONPATH": TESTS}
        try:
            subprocess.run([sys.executable, "-S", "-c", script], env=variables, check=True, timeout=60)
        finally:
            super().close()


Make = Callable[..., Shop]


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda *told: stack.enter_context(closing(Shop(*told)))


def crashes_in_its_probation(shop: Shop, release: str) -> subprocess.CompletedProcess[str]:
    """Deploy a release, and have its first visitors meet a crash."""
    ended: list[subprocess.CompletedProcess[str]] = []
    deploy = threading.Thread(target=lambda: ended.append(shop.deploy(release)))
    deploy.start()
    until(lambda: shop.visit() == release, "it serves")
    shop.visit("/crash")
    deploy.join()
    return ended[0]


def test_deploys_of_releases_that_frontdoor_starts(make: Make) -> None:
    shop = make("deploy.sh", "config.toml")
    os.makedirs(shop.path("releases/v1/cut-off"))  # of a build that somebody has interrupted
    os.makedirs(shop.path("incoming/shop-1"))
    shop.write(APP, "incoming/shop-1/app.py")
    shop.write("# nothing but Python\n", "incoming/shop-1/requirements.txt")
    with tarfile.open(shop.path("incoming/v1.tar.gz"), "w:gz") as archive:
        archive.add(shop.path("incoming/shop-1"), "shop-1")
    first = shop.deploy("v1")
    assert first.returncode == 3, first
    assert sorted(os.listdir(shop.path("releases/v1"))) == [".built", "app.py", "requirements.txt", "venv"]
    assert os.access(shop.path("releases/v1/venv/bin/pip"), os.X_OK)

    shop.start(**shop.variables)
    assert shop.visit() == "v1"
    for age in range(1, 7):
        shop.built(f"old{age}", age=age)
    shop.built("v2")
    with shop.visited():
        shown = shop.deployed("v2")
    assert "swap 1: v1#1 → v2#2" in shown
    assert shop.releases == {"v2", "v1", "old1", "old2", "old3"}, "the newest five"

    shop.built("v3", BROKEN)
    with shop.visited():
        failed = shop.deploy("v3")
    assert failed.returncode == 4
    assert "no module named shop_settings" in failed.stderr
    assert shop.visit() == "v2"
    assert "v3" not in shop.releases, "it may be tried again under the same name"

    shop.built("v4")
    assert crashes_in_its_probation(shop, "v4").returncode == 7
    assert shop.visit() == "v2"
    back = shop.run("rollback")
    assert back.returncode == 0, back
    assert shop.visit() == "v1"
    shop.deployed("v2")


def test_what_a_deploy_refuses_and_what_it_never_removes(make: Make) -> None:
    shop = make("deploy.sh", "config.toml")
    shop.built("v1", age=100)
    for age in range(6):
        shop.built(f"old{age}", age=age)
    kept = shop.releases
    down = shop.deploy()
    assert down.returncode == 3, "nobody can say what runs"
    assert shop.releases == kept
    shop.start(**shop.variables)
    for name in ("../v2", "-v", "v 2"):
        assert shop.deploy(name).returncode == 2
    assert shop.releases == kept
    assert shop.deploy().returncode == 0
    assert shop.visit() == "v1"
    assert shop.releases == kept - {"old5"}, "the oldest of all is not removed: it serves"
    with open(shop.path(".deploy.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = shop.deploy("old0")
    assert (busy.returncode, busy.stderr) == (5, "another deploy is under way\n")
    missing = shop.deploy("v9")
    assert missing.returncode not in (0, 1, 3, 4, 5, 6, 7, 130), missing
    assert shop.visit() == "v1"
    assert not shop.logged("swap.started")


def test_deploys_of_units_that_systemd_runs(make: Make) -> None:
    shop = make("deploy-unit.sh", "config-units.toml")
    unit = (
        read("examples/app@.service")
        .replace("/srv/shop", shop.folder)
        .replace("/run/", f"{shop.path('run-of-units')}/")
    )
    shop.write(unit, "app@.service")
    shop.play("systemctl")
    shop.built("v1")
    shop.built("v2")
    shop.built("v3", BROKEN)
    shop.built("v4")
    first = shop.deploy("v1")
    assert first.returncode == 3
    shop.start(**shop.variables)
    with shop.visited():
        shop.deployed("v2")
    assert shop.runs == ["app@v1.service", "app@v2.service"], "a rollback dials the old one"
    shop.drained("v1#1")

    failed = shop.deploy("v3")
    assert failed.returncode == 4
    assert f"there is no socket at {shop.path('run-of-units/app-v3/app.sock')}" in failed.stderr
    assert shop.runs == ["app@v1.service", "app@v2.service"]
    with shop.visited():
        shop.deployed("v4")
    assert shop.runs == ["app@v2.service", "app@v4.service"]
    assert shop.run("rollback").returncode == 0
    assert shop.visit() == "v2"


def test_deploys_of_containers(make: Make) -> None:
    shop = make("deploy-container.sh", "config-containers.toml")
    shop.play("docker")
    os.mkdir(shop.path("run"))
    os.mkdir(shop.path("images"))
    for version, app in (("v1", APP), ("v2", APP), ("v3", BROKEN), ("v4", APP)):
        os.mkdir(shop.path(f"images/{version}"))
        shop.write(app, f"images/{version}/app.py")
    assert shop.deploy("v1").returncode == 3
    shop.start(**shop.variables)
    with shop.visited():
        shop.deployed("v2")
    assert shop.runs == ["shop-v1", "shop-v2"], "a rollback dials the old one"
    shop.drained("v1#1")
    assert shop.deploy("v3").returncode == 4
    assert shop.runs == ["shop-v1", "shop-v2"]
    assert sorted(os.listdir(shop.path("sock"))) == ["v1", "v2"]
    with shop.visited():
        shop.deployed("v4")
    assert shop.runs == ["shop-v2", "shop-v4"]
    assert sorted(os.listdir(shop.path("sock"))) == ["v2", "v4"]
    assert shop.run("rollback").returncode == 0
    assert shop.visit() == "v2"


def quoted(document: str) -> Iterator[tuple[str, str]]:
    """Script, and a piece of it that the document explains: the first column of its tables."""
    script = ""
    for line in document.splitlines():
        first = re.split(r"(?<!\\)\|", line)[1] if line.startswith("| ") else ""
        if heading := re.fullmatch(r" lines of `(.+)` ", first):
            script = heading[1]
        elif not first:
            script = ""
        elif script:
            pieces = re.findall(r"`([^`]+)`", first.replace(r"\|", "|"))
            yield from ((script, part.strip()) for piece in pieces for part in piece.split("…"))


def test_the_lines_that_are_explained_are_those_of_the_scripts() -> None:
    pieces = list(quoted(read("docs/deploy.md")))
    assert {script for script, _ in pieces} == {"deploy.sh", "deploy-unit.sh", "deploy-container.sh"}
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece[1] not in read(f"examples/{piece[0]}")] == []


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze: apt-get install systemd"
)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: str) -> None:
    unit = read("examples/app@.service").replace("/srv/shop/releases/%i/venv/bin/python", sys.executable)
    path = os.path.join(tmp_path, "app@v2.service")
    with open(path, "w") as file:
        file.write(unit)
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
