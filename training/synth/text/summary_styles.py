"""The request for a summary (style, length, focus, tone) and the summary that follows it. Free instructions are in
`instructions`.

About 45 % of the requests have nothing but a style. Knows nothing about speech.
"""

from collections.abc import Callable
from random import Random

from app.core.prompts import SummaryStyle
from app.core.text.normalize import normalize
from training.synth.text.instructions import PROSE, StyledSummary, instructed_summary, make_style
from training.synth.text.script import Point, Script
from training.synth.text.summary_writer import SummaryWriter, render_summary

_SHARES = {
    SummaryStyle.PARAGRAPH: 38,
    SummaryStyle.BULLETS: 25,
    SummaryStyle.HEADLINE: 8,
    SummaryStyle.ACTION_ITEMS: 10,
    SummaryStyle.MINUTES: 9,
    SummaryStyle.TLDR: 10,
}
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


def write_summary(script: Script, rng: Random) -> StyledSummary:
    """Draw a style for the script, and return it with the summary that follows it ("" if the script allows none)."""
    for _ in range(6):
        shape = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        kind = rng.random()
        made = (
            _style_only(script, rng, shape)
            if kind < 0.46
            else _with_length(script, rng, shape)
            if kind < 0.59
            else _with_focus(script, rng, shape)
            if kind < 0.78
            else instructed_summary(script, rng)
            if kind < 0.92
            else _with_tone(script, rng, shape)
        )
        if made is not None and made[1]:
            return made
    style = make_style(style=SummaryStyle.PARAGRAPH)
    return style, render_summary(script, style, rng) or ""


def _style_only(script: Script, rng: Random, shape: SummaryStyle) -> StyledSummary | None:
    style = make_style(style=shape)
    text = render_summary(script, style, rng)
    return (style, text) if text else None


def _with_length(script: Script, rng: Random, shape: SummaryStyle) -> StyledSummary | None:
    style = make_style(style=SummaryStyle.PARAGRAPH if shape not in PROSE else shape, length=rng.choice(_LENGTHS))
    text = render_summary(script, style, rng)
    return (style, text) if text else None


def _people(point: Point) -> set[str]:
    return {f.text for f in point.facts if f.kind == "who"} | ({point.action[0]} if point.action else set())


_FOCUSES: list[tuple[tuple[str, ...], Callable[[Point], bool], str]] = [
    (("decisions", "what was decided", "the decisions made"), lambda p: p.is_decision, "No decisions were made."),
    (
        ("dates and deadlines", "dates", "deadlines and times", "when things happen"),
        lambda p: p.has_fact("when"),
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
        lambda p: p.has_fact("problem"),
        "No problems were mentioned.",
    ),
    (
        ("numbers", "figures and amounts", "the numbers"),
        lambda p: any(any(t[0].isdigit() for t in normalize(f.text)) for f in p.facts),
        "No figures were mentioned.",
    ),
]


def _is_money(text: str) -> bool:
    return bool({"dollars", "pounds", "euros"} & set(normalize(text)))


def _with_focus(script: Script, rng: Random, shape: SummaryStyle) -> StyledSummary | None:
    shape = shape if shape in PROSE and rng.random() < 0.6 else SummaryStyle.BULLETS
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
        words, wanted, missing = rng.choice(_FOCUSES)
        focus = rng.choice(words)
        chosen = [p for p in script.points if wanted(p)]
        if not chosen and rng.random() < 0.7:
            return None
    style = make_style(style=shape, focus=focus)
    if not chosen:
        return (style, ("- " if shape is SummaryStyle.BULLETS else "") + missing) if missing else None
    chosen = SummaryWriter(script, rng).rank_points(chosen)[:7]
    narrowed = [p for p in script.points if any(p is c for c in chosen)]
    text = render_summary(script, style, rng, narrowed, gist=False)
    return (style, text) if text else None


def _with_tone(script: Script, rng: Random, shape: SummaryStyle) -> StyledSummary | None:
    shape = shape if shape in PROSE else SummaryStyle.BULLETS
    style = make_style(
        style=shape,
        tone=rng.choice(["formal", "neutral", "friendly", "professional", "casual", "plain", "factual"]),
        language=rng.choice([None, None, "en"]),
    )
    text = render_summary(script, make_style(style=shape), rng)
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
