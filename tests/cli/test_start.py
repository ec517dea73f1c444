import subprocess
import sys
from pathlib import Path


def test_ctrl_c_before_anything_was_asked_is_130_and_no_traceback(tmp_path: Path) -> None:
    # What is imported first stands in for the user's finger.
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(99)\n")
    command = [sys.executable, "-m", "frontdoor", "swap", "v2"]
    result = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
