"""Labels for a text that is not the summary: how the summary would best have continued after each of its tokens.

After each prefix of the text, the position in the summary is taken that is nearest to it, counted in tokens to remove
and to insert (their longest common subsequence). If both have just reached the same token, the summary's next token is
the label. Otherwise there is no label: in the middle of other words, the summary's next word would make no sentence.
There is also no label if two such positions are equally near, if the label would repeat what has been said (the text
has another order), or if it would be the end while the text continues. This is the optimal completion of arXiv
1810.01398, restricted to the positions where it is certain. Knows nothing about models.
"""

from collections.abc import Sequence


def recovery_labels(written: Sequence[int], summary: Sequence[int]) -> list[int | None]:
    """Return a label for each token of `written`: the token of `summary` that should follow the tokens before it, or
    None.

    Both include the end of turn. If several positions in the summary are equally near, the written token is the label
    if it follows one of them.
    """
    out: list[int | None] = []
    tokens_before = [None, *summary]  # the token before each place in the summary
    distances = list(range(len(summary) + 1))  # of the beginning written so far, from each beginning of the summary
    written_pairs: set[tuple[int | None, int]] = set()  # what has been written, by twos
    before: int | None = None
    for token in written:
        least = min(distances)
        after = [j for j in range(len(summary)) if distances[j] == least and tokens_before[j] == before]
        label = None
        if any(summary[j] == token for j in after):
            label = token
        elif (
            len(after) == 1
            and after[0] < len(summary) - 1
            and (summary[after[0]], summary[after[0] + 1]) not in written_pairs
        ):
            label = summary[after[0]]
        out.append(label)
        next_distances = [distances[0] + 1]
        for j, one in enumerate(summary):
            next_distances.append(distances[j] if one == token else 1 + min(distances[j + 1], next_distances[j]))
        distances = next_distances
        written_pairs.add((before, token))
        before = token
    return out
