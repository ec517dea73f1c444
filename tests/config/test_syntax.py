import pytest

from frontdoor.config.problem import ConfigError
from frontdoor.config.syntax import read_toml


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read_toml(text, "config.toml")
    return str(refused.value)


def test_arrays_are_tuples_at_every_depth() -> None:
    assert read_toml("a = [[1], { b = [2] }]", "config.toml") == {"a": ((1,), {"b": (2,)})}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = v1\n", "2: not valid TOML: invalid value (a string needs quotes) at column 5"),
        ("a = 1\na = 2\n", "2: not valid TOML: cannot overwrite a value at column 6"),
        ("\n\na\n", '3: not valid TOML: expected "=" after a key at column 2'),
        ('a = "x\nb = 1\n', "1: not valid TOML: a string does not end on its line at column 7"),
        ('a = 1\nb = """x\n\n', "2: not valid TOML: unterminated string at the end of the file"),
        ("[a]\n[b]\n[a]\n", "3: not valid TOML: cannot declare [a] twice at column 3"),
        (f"a = {'[' * 5000}", " not valid TOML: arrays or tables are nested too deep"),
    ],
)
def test_what_is_not_toml_is_one_line_that_says_where(text: str, line: str) -> None:
    assert refusal(text) == f"config.toml:{line}"


def test_a_number_of_five_thousand_digits_is_one_line() -> None:
    assert refusal(f"a = {'9' * 5000}").startswith("config.toml: not valid TOML: exceeds the limit")
