"""The cost of matching a regular expression: the number of its elements once all counted repetitions are expanded.

`((zaaa|[a-z]{3}){1,1000}){1,1000}` has 34 characters and seven million elements. The time of linear-time regex engines
grows with exactly this number. Knows nothing about schemas, nor whether an expression is valid otherwise.
"""

import re

_REPEAT = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_GROUP = re.compile(r"\(\?(?::|P?<[A-Za-z_]\w*>)")
_BRACED_ESCAPE = re.compile(r"\\[pPux]\{[^{}]{0,60}\}")
MAX_COST = 10**9  # higher costs are not distinguished, so that the numbers stay small


class UnsupportedPattern(ValueError):
    """The expression uses syntax that differs between regex engines, or that no engine matches in linear time.

    The message is the end of a sentence that begins "the pattern".
    """


def pattern_cost(pattern: str) -> int:
    """Return the number of elements, at most `MAX_COST`. Raises UnsupportedPattern.

    A character, an escape or a class is one element. `{n,m}` multiplies the elements of its item by m, `{n,}` by n + 1.
    """
    # sums: elements of each open group. last: elements of the latest item, which a repetition multiplies.
    sums, last, at = [0], 0, 0
    while at < len(pattern):
        letter = pattern[at]
        step = 1
        if letter == "\\":
            braced = _BRACED_ESCAPE.match(pattern, at)
            step = len(braced[0]) if braced else 2
            last = 1
            sums[-1] += 1
        elif letter == "[":
            step = _class_length(pattern, at)
            last = 1
            sums[-1] += 1
        elif letter == "(":
            if pattern.startswith("(?", at):
                group = _GROUP.match(pattern, at)
                if group is None:
                    raise UnsupportedPattern(
                        "looks around or sets flags; the groups that are accepted are (…), (?:…) and (?<name>…)"
                    )
                step = len(group[0])
            sums.append(0)
            last = 0
        elif letter == ")":
            if len(sums) == 1:
                raise UnsupportedPattern("closes a group that was not opened")
            last = max(1, sums.pop())
            sums[-1] = min(MAX_COST, sums[-1] + last)
        elif letter == "{":
            repeat = _REPEAT.match(pattern, at)
            if repeat is None or not (repeat[1] or repeat[3]):
                raise UnsupportedPattern("has a { that begins no repetition; write \\{ there")
            step = len(repeat[0])
            times = _repeat_count(repeat[3]) if repeat[3] else _repeat_count(repeat[1]) + bool(repeat[2])
            grown = min(MAX_COST, last * max(1, times))
            sums[-1] = min(MAX_COST, sums[-1] + grown - last)
            last = grown  # a repetition of a repetition multiplies again
        elif letter not in "*+?|^$":
            last = 1
            sums[-1] += 1
        at += step
    if len(sums) > 1:
        raise UnsupportedPattern("opens a group that is not closed")
    return min(MAX_COST, max(1, sums[0]))


def _repeat_count(digits: str) -> int:
    return int(digits) if len(digits) < 10 else MAX_COST


def _class_length(pattern: str, start: int) -> int:
    """Return the number of characters of the class that begins at `start`.

    Raises UnsupportedPattern for syntax that engines read differently: in some of them the class would end elsewhere.
    """
    at = start + 1 + pattern.startswith("^", start + 1)
    if pattern.startswith("]", at):
        raise UnsupportedPattern("has ] first in a class; write \\] there")
    while at < len(pattern):
        if pattern[at] == "]":
            return at + 1 - start
        if pattern[at] == "[" or pattern[at : at + 2] in ("&&", "--", "~~"):
            raise UnsupportedPattern("has [, &&, -- or ~~ inside a class; write \\[ there, or the letters one by one")
        at += 2 if pattern[at] == "\\" else 1
    raise UnsupportedPattern("opens a class that is not closed")
