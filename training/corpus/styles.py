"""Which summary is asked for: styles, lengths, focus, tone and instructions, each with the points that honour it.

About 45 % of requests carry nothing but a style. Knows nothing about speech.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from app.prompts import Style, SummaryStyle
from training.corpus.render import Writer, plain, sentence, words_in
from training.corpus.script import Point, Script
from training.spoken import canonical

_SHARES = {
    SummaryStyle.PARAGRAPH: 38,
    SummaryStyle.BULLETS: 25,
    SummaryStyle.HEADLINE: 8,
    SummaryStyle.ACTION_ITEMS: 10,
    SummaryStyle.MINUTES: 9,
    SummaryStyle.TLDR: 10,
}
_PROSE = (SummaryStyle.PARAGRAPH, SummaryStyle.TLDR)
_LENGTHS = [
    "short",
    "medium",
    "short",
    "medium",
    "long",
    "20",
    "25",
    "30",
    "40",
    "50",
    "60",
    "75",
    "80 words",
    "100",
    "120",
    "45 words",
    "15",
    "35",
]

Written = tuple[Style, str]


def _style(**fields: Any) -> Style:
    return Style.model_validate(fields)


def write(script: Script, rng: Random) -> Written:
    """A style and the summary that honours it."""
    for _ in range(6):
        shape = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        kind = rng.random()
        made = (
            _as_is(script, rng, shape)
            if kind < 0.46
            else _length(script, rng, shape)
            if kind < 0.59
            else _focus(script, rng, shape)
            if kind < 0.78
            else _instructed(script, rng, shape)
            if kind < 0.92
            else _toned(script, rng, shape)
        )
        if made is not None and made[1]:
            return made
    style = _style(style=SummaryStyle.PARAGRAPH)
    return style, plain(script, style, rng) or ""


def _as_is(script: Script, rng: Random, shape: SummaryStyle) -> Written | None:
    style = _style(style=shape)
    text = plain(script, style, rng)
    return (style, text) if text else None


def _length(script: Script, rng: Random, shape: SummaryStyle) -> Written | None:
    style = _style(style=SummaryStyle.PARAGRAPH if shape not in _PROSE else shape, length=rng.choice(_LENGTHS))
    text = plain(script, style, rng)
    return (style, text) if text else None


def _people(point: Point) -> set[str]:
    return {f.text for f in point.facts if f.kind == "who"} | ({point.action[0]} if point.action else set())


_ABOUT: list[tuple[tuple[str, ...], Callable[[Point], bool], str]] = [
    (("decisions", "what was decided", "the decisions made"), lambda p: p.decides, "No decisions were made."),
    (
        ("dates and deadlines", "dates", "deadlines and times", "when things happen"),
        lambda p: p.has("when"),
        "No dates were mentioned.",
    ),
    (
        ("money", "costs", "the amounts of money", "prices and costs"),
        lambda p: any(_is_money(f.text) for f in p.facts),
        "No amounts of money were mentioned.",
    ),
    (
        ("action items", "next steps", "who has to do what", "tasks and owners"),
        lambda p: p.action is not None,
        "No tasks were assigned.",
    ),
    (
        ("problems", "what went wrong", "issues and their causes"),
        lambda p: p.has("problem"),
        "No problems were mentioned.",
    ),
    (
        ("numbers", "figures and amounts", "the numbers"),
        lambda p: any(any(t[0].isdigit() for t in canonical(f.text)) for f in p.facts),
        "No figures were mentioned.",
    ),
]


def _is_money(text: str) -> bool:
    return bool({"dollars", "pounds", "euros"} & set(canonical(text)))


def _focus(script: Script, rng: Random, shape: SummaryStyle) -> Written | None:
    shape = shape if shape in _PROSE and rng.random() < 0.6 else SummaryStyle.BULLETS
    if rng.random() < 0.3:
        people = sorted({n for p in script.points for n in _people(p) if n[:1].isupper()})
        if not people:
            return None
        name = rng.choice(people)
        focus = rng.choice(["what {} does", "{}", "{}'s tasks and role", "what concerns {}"]).format(name)
        chosen = [p for p in script.points if name in p.slots.values() or (p.action and p.action[0] == name)]
        missing = ""
    elif rng.random() < 0.3:
        things = sorted({p.slots[k] for p in script.points for k in ("thing", "topic", "metric") if k in p.slots})
        if not things:
            return None
        focus = rng.choice(things)
        chosen, missing = [p for p in script.points if focus in p.slots.values()], ""
    else:
        words, wanted, missing = rng.choice(_ABOUT)
        focus = rng.choice(words)
        chosen = [p for p in script.points if wanted(p)]
        if not chosen and rng.random() < 0.7:
            return None
    style = _style(style=shape, focus=focus)
    if not chosen:
        return (style, ("- " if shape is SummaryStyle.BULLETS else "") + missing) if missing else None
    chosen = Writer(script, rng).ranked(chosen)[:7]
    narrowed = [p for p in script.points if any(p is c for c in chosen)]
    text = plain(script, style, rng, narrowed, gist=False)
    return (style, text) if text else None


def _toned(script: Script, rng: Random, shape: SummaryStyle) -> Written | None:
    shape = shape if shape in _PROSE else SummaryStyle.BULLETS
    style = _style(
        style=shape,
        tone=rng.choice(["formal", "neutral", "friendly", "professional", "casual", "plain", "factual"]),
        language=rng.choice([None, None, "en"]),
    )
    text = plain(script, _style(style=shape), rng)
    if text and style.tone in ("friendly", "casual") and shape is not SummaryStyle.BULLETS:
        text = (
            rng.choice(
                [
                    "Here's the short version: ",
                    "Quick recap: ",
                    "In a nutshell: ",
                    "Here's what you need to know. ",
                    "Just so you know: ",
                ]
            )
            + text
        )
    return (style, text) if text else None


def _instructed(script: Script, rng: Random, shape: SummaryStyle) -> Written | None:
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
    return (_style(style=SummaryStyle.BULLETS, instructions=said), text) if text.count("\n") + 1 == n else None


def _dates(script: Script, rng: Random) -> Written | None:
    if not any(p.has("when") for p in script.points):
        return None
    style = _style(
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
    style = _style(
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
    style = _style(
        style=rng.choice(_PROSE),
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
    return (_style(style=SummaryStyle.PARAGRAPH, instructions=said.format(bound)), " ".join(picked)) if picked else None


def _questions(script: Script, rng: Random) -> Written | None:
    writer = Writer(script, rng)
    acts = [p for p in script.points if p.action]
    if acts and rng.random() < 0.6:
        said = rng.choice(["End with the next steps.", "Put the actions last", "Finish with who does what."])
        rest = [p for p in script.points if not p.action and p.core]
        return _style(style=SummaryStyle.PARAGRAPH, instructions=said), " ".join(
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
    return _style(style=SummaryStyle.PARAGRAPH, instructions=said), writer.paragraph(script.points, 90)


def _no_gist(script: Script, rng: Random) -> Written | None:
    said = rng.choice(
        ["Skip the introduction.", "No introduction, straight to the points", "Leave out greetings and small talk."]
    )
    return _style(style=SummaryStyle.PARAGRAPH, instructions=said), Writer(script, rng).paragraph(
        script.points, 90, gist=False
    )
