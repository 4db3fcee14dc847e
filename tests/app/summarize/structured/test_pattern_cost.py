"""The elements of a pattern, counted without expanding its repetitions."""

import pytest

from app.summarize.structured.pattern_cost import MAX_COST, UnsupportedPattern, pattern_cost


@pytest.mark.parametrize(
    ("pattern", "elements"),
    [
        ("", 1),
        ("^abc$", 3),
        (r"^\d{4}-\d{2}-\d{2}$", 10),
        ("(a+)+", 1),
        ("a{3,}", 4),
        ("(ab|cd){2,5}", 20),
        ("(?:(?<name>ab){10}){10}", 200),
        ("((zaaa|[a-z]{3}){1,1000}){1,1000}", 7_000_000),
        ("a{9}{9}{9}", 729),
        ("(((((((((((a{99}){99}){99}){99}){99}){99}){99}){99}){99}){99}){99})", MAX_COST),
        (r"[(){}\]|]{4}", 4),
        (r"\(a\){3}\p{Lu}{2}\u{1F600}", 8),
        ("a{,3}", 3),
        ("x{0}", 1),
        ("x{10000000000000}", MAX_COST),
    ],
)
def test_repetitions_multiply_what_they_repeat(pattern: str, elements: int) -> None:
    assert pattern_cost(pattern) == elements


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(?i)a", "(?x)a{1,  9}", "(?>a)", "(?P=name)", "(?#x)"),
        *("[]a]{9}", "[^]a]", "[a[b]]", "[a&&b]", "[a", "(a", "a)", "(a))(", "a{x}", "{", "a{}", "a{ 9 }"),
    ],
)
def test_what_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        pattern_cost(pattern)


def test_a_long_pattern_takes_linear_time() -> None:
    assert pattern_cost("(" * 8000 + ")" * 8000) == 1
    assert pattern_cost("a{1000000}" * 1000) == MAX_COST
