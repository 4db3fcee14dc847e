"""Write the summary of a script in a style, from what was said only.

The writer picks points, core ones first, tells each in one of its wordings, and keeps to the requested length. A
summary is None if the script does not allow the style; the caller then draws another style. Knows nothing about speech.
"""

from random import Random

from app.core.prompts import Style, SummaryStyle
from training.synth.text.script import Point, Script
from training.synth.text.template_language import tidy_text

_JOINS = ("Also, ", "In addition, ", "Meanwhile, ", "Besides, ")


def word_count(text: str) -> int:
    """Return the number of words of the text."""
    return len(text.split())


def sentence(text: str) -> str:
    """Return the text as a sentence with a full stop."""
    return tidy_text(text if text.endswith((".", "!", "?")) else text + ".")


class SummaryWriter:
    """Writes one summary of one script. Every choice comes from `rng`."""

    def __init__(self, script: Script, rng: Random) -> None:
        self.script, self.rng = script, rng

    def point_sentence(self, point: Point, *, full: bool = True) -> str:
        """Return a sentence about the point. full: prefer wordings with more of its facts."""
        options = point.tells
        if not full or len(options) == 1:
            return self.rng.choice(options)
        return max(options, key=lambda t: (self._fact_weight(point, t), self.rng.random()))

    def point_bullet(self, point: Point) -> str:
        """Return a bullet about the point without a dash; a sentence if no bullet has all core facts."""
        options = point.briefs[:4]
        best = max(options, key=lambda t: (self._fact_weight(point, t), self.rng.random()))
        return best if self._fact_weight(point, best) >= self._core_weight(point) else self.point_sentence(point)

    def _core_weight(self, point: Point) -> int:
        return sum(2 for f in point.facts if f.core)

    def _fact_weight(self, point: Point, text: str) -> int:
        low = text.lower()
        return sum(
            (2 if f.core else 1)
            for f in point.facts
            if all(
                isinstance(p, str) and p.lower() in low
                for p in (f.accept[0] if f.accept and isinstance(f.accept[0], list) else [f.text])
            )
        )

    def gist(self) -> str | None:
        """Return the opening sentence with the most core facts, or None if there is none."""
        core = [f.text.lower() for f in self.script.gist_facts if f.core]
        return max(
            self.script.gists, key=lambda g: (sum(c in g.lower() for c in core), self.rng.random()), default=None
        )

    def topic(self) -> str:
        """Return what the recording is about."""
        return self.rng.choice(self.script.topics) if self.script.topics else self.script.register.replace("_", " ")

    def body(self, points: list[Point], limit: int | None = None, *, gist: bool = True) -> list[str]:
        """Return sentences in the order of the recording: the gist, every core point, and other points while all fit
        into `limit` words.
        """
        opening = self.gist() if gist else None
        core = [p for p in points if p.core]
        point_texts = {id(p): self.point_sentence(p) for p in core}
        total = sum(word_count(t) for t in point_texts.values()) + word_count(opening or "")
        for p in (p for p in points if not p.core):
            text = self.point_sentence(p)
            if limit is None or total + word_count(text) <= limit:
                point_texts[id(p)] = text
                total += word_count(text)
        sentences = [opening] if opening else []
        for p in points:
            if id(p) in point_texts and point_texts[id(p)] not in sentences:
                sentences.append(point_texts[id(p)])
        return sentences

    def paragraph(self, points: list[Point], limit: int | None, *, gist: bool = True) -> str:
        """Return the sentences of `body` as a paragraph."""
        sentences = self.body(points, limit, gist=gist)
        out = []
        for i, text in enumerate(sentences):
            joined = i > 1 and self.rng.random() < 0.08 and text.split()[0] in ("The", "They", "A", "There", "It")
            out.append(sentence(self.rng.choice(_JOINS) + text[0].lower() + text[1:] if joined else text))
        return " ".join(out)

    def bullets(self, points: list[Point], *, most: int | None = None, gist: bool = True) -> str:
        """Return a list of bullets. most: the most bullets; None has every core point and some others."""
        chosen = (
            self.rank_points(points)[:most]
            if most
            else [p for p in points if p.core] + [p for p in points if not p.core][: max(0, 10 - len(points))]
        )
        lines = []
        opening = self.gist() if gist and (most is None or len(chosen) < most) else None
        short = self.rng.random() < 0.5
        for p in [p for p in points if any(p is c for c in chosen)]:
            text = self.point_bullet(p) if short else self.point_sentence(p)
            lines.append(text[0].upper() + text[1:])
        if opening:
            lines.insert(0, opening)
        return "\n".join(
            dict.fromkeys(
                "- " + (sentence(t) if not short else t.removesuffix(".") if not t.endswith(".m.") else t)
                for t in lines
            )
        )

    def rank_points(self, points: list[Point]) -> list[Point]:
        """Return the points in the order of importance: core points, then decisions and actions."""
        return sorted(points, key=lambda p: (not p.core, not (p.is_decision or p.action is not None)))

    def headline(self, points: list[Point]) -> str | None:
        """Return a headline of at most 12 words, or None if there is none."""
        lead = [h for p in self.rank_points(points)[:2] for h in p.heads]
        options = [h for h in self.script.heads + lead if word_count(h) <= 12] or [
            t for t in self.script.gists if word_count(t) <= 12
        ]
        options = options or [b for p in points for b in p.briefs if word_count(b) <= 12]
        return self.rng.choice(options).rstrip(".") if options else None

    def actions(self, points: list[Point]) -> str:
        """Return a list of the actions: who does what, and when."""
        form = self.rng.randrange(3)
        lines = []
        for p in points:
            if p.action:
                who, what, when = p.action
                who = who[0].upper() + who[1:]
                lines.append(
                    f"- {who} will {what} {when}."
                    if form == 0
                    else f"- {who} to {what} {when}"
                    if form == 1
                    else f"- {who}: {what} {when}"
                )
        return (
            "\n".join(dict.fromkeys(" ".join(line.split()).replace(" .", ".").replace("m..", "m.") for line in lines))
            or "No action items."
        )

    def minutes(self, points: list[Point]) -> str:
        """Return minutes: the topic, key points, decisions and actions."""
        key = [p for p in points if not p.is_decision and not p.action]
        decided = [p for p in points if p.is_decision]
        topic = self.topic()
        parts = [f"Topic: {topic[0].upper() + topic[1:]}", "Key points:"]
        parts += ["- " + self.point_sentence(p) for p in key] or ["- " + (self.gist() or "None.")]
        parts += ["Decisions:"] + (["- " + self.point_sentence(p) for p in decided] or ["- None."])
        acts = self.actions(points)
        parts += ["Actions:"] + ([acts] if acts != "No action items." else ["- None."])
        return "\n".join(parts)

    def tldr(self, points: list[Point]) -> str:
        """Return one or two sentences about the most important points."""
        top = self.rank_points(points)[: 2 if self.rng.random() < 0.6 else 1]
        sentences = [self.point_sentence(p) for p in points if any(p is t for t in top)]
        opening = self.gist()
        if opening and len(sentences) == 1 and word_count(opening) < 30:
            sentences.insert(0, opening)
        return " ".join(sentence(s) for s in sentences[:2])

    def paragraph_of_length(self, points: list[Point], words: int) -> str | None:
        """Return a paragraph of `words` words, 28 % more or less, with the most important points; None if the points
        are too short or too long for it.
        """
        order = self.rank_points(points)
        opening = self.gist()
        best: str | None = None
        for count in range(1, len(order) + 1):
            chosen = order[:count]
            for lead in ([opening] if opening else []), []:
                for pick in (max, min):
                    texts = [pick(p.tells, key=word_count) for p in points if any(p is c for c in chosen)]
                    text = " ".join(sentence(s) for s in dict.fromkeys([*lead, *texts]))
                    if abs(word_count(text) - words) <= 0.28 * words and (
                        best is None or abs(word_count(text) - words) < abs(word_count(best) - words)
                    ):
                        best = text
        return best


def render_summary(
    script: Script, style: Style, rng: Random, points: list[Point] | None = None, *, gist: bool = True
) -> str | None:
    """Return the summary in the shape and length of the style, or None if the script does not allow it.

    points: the points to tell; None is all of the script. gist: whether it may begin with the gist.
    """
    writer = SummaryWriter(script, rng)
    points = script.points if points is None else points
    if style.words is not None and style.style in (SummaryStyle.PARAGRAPH, SummaryStyle.TLDR):
        return writer.paragraph_of_length(points, style.words)
    match style.style:
        case SummaryStyle.PARAGRAPH:
            return writer.paragraph(points, 60 + 3 * len(points), gist=gist)
        case SummaryStyle.BULLETS:
            return writer.bullets(points, gist=gist)
        case SummaryStyle.HEADLINE:
            return writer.headline(points)
        case SummaryStyle.ACTION_ITEMS:
            return writer.actions(points)
        case SummaryStyle.MINUTES:
            return writer.minutes(points)
        case SummaryStyle.TLDR:
            return writer.tldr(points)
