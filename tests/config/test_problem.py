import pytest

from frontdoor.config.problem import ConfigError, Path, Problem, show_key, show_value


def test_an_error_is_a_line_for_each_problem() -> None:
    error = ConfigError(
        "config.toml",
        [Problem("drain.timeot", 12, "unknown key"), Problem("active", None, "is missing"), Problem("", 3, "bad")],
    )
    assert str(error).splitlines() == [
        "config.toml:12: drain.timeot: unknown key",
        "config.toml: active: is missing",
        "config.toml:3: bad",
    ]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("backends", "*", "command", 0), 'backends."*".command'),
        (("backends", "1.2"), 'backends."1.2"'),
        (("a\nb", ""), '"a\\nb".""'),
        ((), ""),
    ],
)
def test_a_key_is_written_as_in_toml(path: Path, key: str) -> None:
    assert show_key(path) == key


def test_a_value_is_written_on_one_short_line() -> None:
    assert [show_value(value) for value in (True, 5, "a\nb", ("a", 1), 1.5, {"a b": 1})] == [
        "true",
        "5",
        '"a\\nb"',
        '["a", 1]',
        "1.5",
        '{ "a b" = 1 }',
    ]
    assert show_value("x" * 1000) == '"' + "x" * 78 + "…"
    assert show_value(1 << 100_000) == "a number too long to show"
