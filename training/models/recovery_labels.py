"""How a summary would best have gone on after what was written instead: labels for a text that is not the summary.

After each beginning of the text the summary is entered where the two are least apart, counted in tokens to take out
and to put in (their longest common subsequence). If both have come there by the same token, what the summary says next
is the label. Elsewhere there is none: in the middle of other words the summary's own would make no sentence. Nor is
there one where two such places are as near, where it would say again what has been said (the text has another order),
or where it would be the end and the text went on. It is the optimal completion of arXiv 1810.01398, kept to where it
is sure. Knows nothing about models.
"""

from collections.abc import Sequence


def recovery_labels(written: Sequence[int], summary: Sequence[int]) -> list[int | None]:
    """For each token of `written`, the one of `summary` that best stands there after those before it, or None.

    Both with their end of turn. Where places in the summary are as near, the written token is the label if it is what
    follows one of them.
    """
    out: list[int | None] = []
    entered = [None, *summary]  # the token before each place in the summary
    apart = list(range(len(summary) + 1))  # of the beginning written so far, from each beginning of the summary
    said: set[tuple[int | None, int]] = set()  # what has been written, by twos
    before: int | None = None
    for token in written:
        least = min(apart)
        after = [j for j in range(len(summary)) if apart[j] == least and entered[j] == before]
        label = None
        if any(summary[j] == token for j in after):
            label = token
        elif len(after) == 1 and after[0] < len(summary) - 1 and (summary[after[0]], summary[after[0] + 1]) not in said:
            label = summary[after[0]]
        out.append(label)
        longer = [apart[0] + 1]
        for j, one in enumerate(summary):
            longer.append(apart[j] if one == token else 1 + min(apart[j + 1], longer[j]))
        apart = longer
        said.add((before, token))
        before = token
    return out
