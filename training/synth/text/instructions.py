"""Free instructions ("three bullets", "start with the decision"), each with the summary that follows it.

Knows nothing about how often which is asked for.
"""

from random import Random
from typing import Any

from app.core.prompts import Style, SummaryStyle
from training.synth.text.script import Script
from training.synth.text.summary_writer import Writer, sentence, words_in

PROSE = (SummaryStyle.PARAGRAPH, SummaryStyle.TLDR)
Written = tuple[Style, str]


def styled(**fields: Any) -> Style:
    """A style of these fields."""
    return Style.model_validate(fields)


def instructed(script: Script, rng: Random) -> Written | None:
    """One free instruction and the summary that follows it; None if the script has nothing it could be about."""
    made = rng.choice(
        [_n_bullets, _n_bullets, _n_bullets, _dates, _decision_first, _onesentence, _at_most, _questions, _no_gist]
    )(script, rng)
    return made


def _n_bullets(script: Script, rng: Random) -> Written | None:
    n = rng.choice([2, 3, 3, 3, 4, 5])
    if len(script.points) < n:
        return None
    word = ["two", "three", "four", "five"][n - 2]
    said = rng.choice(
        [
            "{} bullets.",
            "Exactly {} bullet points",
            "Use {} bullets.",
            "Keep it to {} points.",
            "No more than {} bullets, please.",
        ]
    )
    said = said.format(word if said[0] != "{" else word.capitalize()) if rng.random() < 0.7 else said.format(n)
    text = Writer(script, rng).bullets(script.points, most=n, gist=False)
    return (styled(style=SummaryStyle.BULLETS, instructions=said), text) if text.count("\n") + 1 == n else None


def _dates(script: Script, rng: Random) -> Written | None:
    if not any(p.has("when") for p in script.points):
        return None
    style = styled(
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
    writer = Writer(script, rng)
    sentences = []
    for p in script.points:
        whens = [f.text for f in p.facts if f.kind == "when"]
        options = [t for t in p.tells if all(w.lower() in t.lower() for w in whens)]
        if whens and not options:
            return None
        if whens or p.core:
            sentences.append(sentence(options[0] if whens else writer.tell(p)))
    return style, " ".join(dict.fromkeys(sentences))


def _decision_first(script: Script, rng: Random) -> Written | None:
    decided = [p for p in script.points if p.decides]
    if not decided:
        return None
    writer = Writer(script, rng)
    rest = [p for p in script.points if not p.decides and p.core]
    style = styled(
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
    return style, " ".join(sentence(writer.tell(p)) for p in decided + rest)


def _onesentence(script: Script, rng: Random) -> Written | None:
    style = styled(
        style=rng.choice(PROSE),
        instructions=rng.choice(
            ["Answer in one sentence.", "One sentence only.", "Just one sentence, please", "A single sentence."]
        ),
    )
    writer = Writer(script, rng)
    top = writer.ranked(script.points)[0]
    return style, sentence(writer.gist() or writer.tell(top)) if rng.random() < 0.3 else sentence(writer.tell(top))


def _at_most(script: Script, rng: Random) -> Written | None:
    n = rng.choice([12, 15, 20, 25, 30, 40, 50])
    writer = Writer(script, rng)
    picked: list[str] = []
    for p in writer.ranked(script.points):
        text = sentence(writer.tell(p))
        if words_in(" ".join([*picked, text])) <= n:
            picked.append(text)
    said = rng.choice(["At most {} words.", "No more than {} words", "Stay under {} words.", "Maximum {} words."])
    bound = n + 1 if "under" in said else n
    return (styled(style=SummaryStyle.PARAGRAPH, instructions=said.format(bound)), " ".join(picked)) if picked else None


def _questions(script: Script, rng: Random) -> Written | None:
    writer = Writer(script, rng)
    acts = [p for p in script.points if p.action]
    if acts and rng.random() < 0.6:
        said = rng.choice(["End with the next steps.", "Put the actions last", "Finish with who does what."])
        rest = [p for p in script.points if not p.action and p.core]
        return styled(style=SummaryStyle.PARAGRAPH, instructions=said), " ".join(
            sentence(writer.tell(p)) for p in rest + acts
        )
    said = rng.choice(
        [
            "Write for someone who missed it.",
            "It is for my boss.",
            "For the team chat.",
            "Use simple words.",
            "Only facts, no opinions.",
        ]
    )
    return styled(style=SummaryStyle.PARAGRAPH, instructions=said), writer.paragraph(script.points, 90)


def _no_gist(script: Script, rng: Random) -> Written | None:
    said = rng.choice(
        ["Skip the introduction.", "No introduction, straight to the points", "Leave out greetings and small talk."]
    )
    return styled(style=SummaryStyle.PARAGRAPH, instructions=said), Writer(script, rng).paragraph(
        script.points, 90, gist=False
    )
