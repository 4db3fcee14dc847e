"""How a summary would best have gone on after what was written instead: labels for a text that is not the summary.

After each beginning of the text the summary is entered where the two are least apart, counted in tokens to take out
and to put in (their longest common subsequence). If both have come there by the same token, what the summary says next
is the label. Elsewhere there is none: in the middle of other words the summary's own would make no sentence. Nor is
there one where two such places are as near, where it would say again what has been said (the text has another order),
or where it would be the end and the text went on. It is the optimal completion of arXiv 1810.01398, kept to where it
is sure. Knows nothing about models.
"""

from collections.abc import Sequence
from itertools import pairwise

IGNORED = -100


def completions(written: Sequence[int], summary: Sequence[int]) -> list[int]:
    """For each token of `written`, the one of `summary` that best stands there after those before it, or `IGNORED`.

    Both with their end of turn. Where places in the summary are as near, the written token is the label if it is what
    follows one of them.
    """
    out = []
    apart = list(range(len(summary) + 1))  # of the beginning written so far, from each beginning of the summary
    for place, token in enumerate(written):
        said = set(pairwise(written[:place]))
        least = min(apart)
        after = [j for j in range(len(summary)) if apart[j] == least and _agree(written[:place], summary[:j])]
        if any(summary[j] == token for j in after):
            out.append(token)
        elif len(after) == 1 and after[0] < len(summary) - 1 and tuple(summary[after[0] : after[0] + 2]) not in said:
            out.append(summary[after[0]])
        else:
            out.append(IGNORED)
        longer = [place + 1]
        for j, one in enumerate(summary):
            longer.append(apart[j] if one == token else 1 + min(apart[j + 1], longer[j]))
        apart = longer
    return out


def _agree(written: Sequence[int], summary: Sequence[int]) -> bool:
    """Do both end in the same token, or not begin?"""
    return written[-1:] == summary[-1:]
