"""Free instructions ("three bullets", "start with the decision"), each with a summary that follows it.

Knows nothing about how often each kind of request occurs.
"""

from random import Random
from typing import Any

from app.core.prompts import Style, SummaryStyle
from training.synth.text.script import Script
from training.synth.text.summary_writer import SummaryWriter, sentence, word_count

PROSE = (SummaryStyle.PARAGRAPH, SummaryStyle.TLDR)
StyledSummary = tuple[Style, str]


def make_style(**fields: Any) -> Style:
    """Return the style with these fields."""
    return Style.model_validate(fields)


def instructed_summary(script: Script, rng: Random) -> StyledSummary | None:
    """Return a style with a free instruction, and the summary that follows it; None if the script has nothing for
    it.
    """
    result = rng.choice(
        [
            _n_bullets,
            _n_bullets,
            _n_bullets,
            _dates,
            _decision_first,
            _one_sentence,
            _at_most,
            _order_or_audience,
            _no_introduction,
        ]
    )(script, rng)
    return result


def _n_bullets(script: Script, rng: Random) -> StyledSummary | None:
    n = rng.choice([2, 3, 3, 3, 4, 5])
    if len(script.points) < n:
        return None
    word = ["two", "three", "four", "five"][n - 2]
    wording = rng.choice(
        [
            "{} bullets.",
            "Exactly {} bullet points",
            "Use {} bullets.",
            "Keep it to {} points.",
            "No more than {} bullets, please.",
        ]
    )
    wording = (
        wording.format(word if wording[0] != "{" else word.capitalize()) if rng.random() < 0.7 else wording.format(n)
    )
    text = SummaryWriter(script, rng).bullets(script.points, most=n, gist=False)
    return (make_style(style=SummaryStyle.BULLETS, instructions=wording), text) if text.count("\n") + 1 == n else None


def _dates(script: Script, rng: Random) -> StyledSummary | None:
    if not any(p.has_fact("when") for p in script.points):
        return None
    style = make_style(
        style=SummaryStyle.PARAGRAPH,
        instructions=rng.choice(
            [
                "Mention every date.",
                "Include all dates and times",
                "Name every deadline.",
                "Make sure all dates are in it.",
            ]
        ),
    )
    writer = SummaryWriter(script, rng)
    sentences = []
    for p in script.points:
        whens = [f.text for f in p.facts if f.kind == "when"]
        options = [t for t in p.tells if all(w.lower() in t.lower() for w in whens)]
        if whens and not options:
            return None
        if whens or p.core:
            sentences.append(sentence(options[0] if whens else writer.point_sentence(p)))
    return style, " ".join(dict.fromkeys(sentences))


def _decision_first(script: Script, rng: Random) -> StyledSummary | None:
    decided = [p for p in script.points if p.is_decision]
    if not decided:
        return None
    writer = SummaryWriter(script, rng)
    rest = [p for p in script.points if not p.is_decision and p.core]
    style = make_style(
        style=SummaryStyle.PARAGRAPH,
        instructions=rng.choice(
            [
                "Start with the decision.",
                "Begin with what was decided",
                "Put the decisions first.",
                "Decisions first, then the rest.",
            ]
        ),
    )
    return style, " ".join(sentence(writer.point_sentence(p)) for p in decided + rest)


def _one_sentence(script: Script, rng: Random) -> StyledSummary | None:
    style = make_style(
        style=rng.choice(PROSE),
        instructions=rng.choice(
            ["Answer in one sentence.", "One sentence only.", "Just one sentence, please", "A single sentence."]
        ),
    )
    writer = SummaryWriter(script, rng)
    top = writer.rank_points(script.points)[0]
    return style, sentence(writer.gist() or writer.point_sentence(top)) if rng.random() < 0.3 else sentence(
        writer.point_sentence(top)
    )


def _at_most(script: Script, rng: Random) -> StyledSummary | None:
    n = rng.choice([12, 15, 20, 25, 30, 40, 50])
    writer = SummaryWriter(script, rng)
    picked: list[str] = []
    for p in writer.rank_points(script.points):
        text = sentence(writer.point_sentence(p))
        if word_count(" ".join([*picked, text])) <= n:
            picked.append(text)
    wording = rng.choice(["At most {} words.", "No more than {} words", "Stay under {} words.", "Maximum {} words."])
    bound = n + 1 if "under" in wording else n
    return (
        (make_style(style=SummaryStyle.PARAGRAPH, instructions=wording.format(bound)), " ".join(picked))
        if picked
        else None
    )


def _order_or_audience(script: Script, rng: Random) -> StyledSummary | None:
    writer = SummaryWriter(script, rng)
    acts = [p for p in script.points if p.action]
    if acts and rng.random() < 0.6:
        wording = rng.choice(["End with the next steps.", "Put the actions last", "Finish with who does what."])
        rest = [p for p in script.points if not p.action and p.core]
        return make_style(style=SummaryStyle.PARAGRAPH, instructions=wording), " ".join(
            sentence(writer.point_sentence(p)) for p in rest + acts
        )
    wording = rng.choice(
        [
            "Write for someone who missed it.",
            "It is for my boss.",
            "For the team chat.",
            "Use simple words.",
            "Only facts, no opinions.",
        ]
    )
    return make_style(style=SummaryStyle.PARAGRAPH, instructions=wording), writer.paragraph(script.points, 90)


def _no_introduction(script: Script, rng: Random) -> StyledSummary | None:
    wording = rng.choice(
        ["Skip the introduction.", "No introduction, straight to the points", "Leave out greetings and small talk."]
    )
    return make_style(style=SummaryStyle.PARAGRAPH, instructions=wording), SummaryWriter(script, rng).paragraph(
        script.points, 90, gist=False
    )
