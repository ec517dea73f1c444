import subprocess
import sys

import pytest

import frontdoor.config


def test_every_name_is_there_on_demand() -> None:
    for name in frontdoor.config.__all__:
        assert getattr(frontdoor.config, name).__name__ == name
    assert dir(frontdoor.config) == sorted(frontdoor.config.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'loud'"):
        frontdoor.config.loud  # noqa: B018 - that it is not there is what is shown


def test_pydantic_comes_with_the_first_name_and_not_before() -> None:
    code = (
        "import sys, frontdoor.config; assert 'pydantic' not in sys.modules; "
        "from frontdoor.config import load; assert 'pydantic' in sys.modules; "
        "assert callable(load); assert not {'trio', 'click', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
