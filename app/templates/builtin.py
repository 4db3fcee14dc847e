"""The templates that every caller has. They cannot be changed; a copy under another name can.

The bounds in the schemas keep a small model from writing on and on. Knows nothing about the database.
"""

from typing import Any

from app.templates.template import Template, TemplateContent


def _text(characters: int, description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": characters}
    return schema | {"description": description} if description else schema


def _texts(most: int, description: str) -> dict[str, Any]:
    return {"type": "array", "maxItems": most, "items": _text(300), "description": description}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _tasks(most: int = 12) -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": most,
        "items": _object(who=_text(100), what=_text(300), when=_text(100)),
        "description": "Who does what by when; empty strings for what was not said.",
    }


_CONTENTS = {
    "meeting_minutes": TemplateContent(
        description="A meeting of several people who discuss matters, decide and give out tasks.",
        instruction="Write minutes of this meeting with the headings Attendees, Topics, Decisions, Actions and Open "
        "questions. Under Actions, say who does what by when. Leave out a heading of which nothing was said.",
        json_schema=_object(
            attendees=_texts(20, "Who took part, by name or role."),
            topics=_texts(12, "What was discussed."),
            decisions=_texts(12, "What was decided."),
            actions=_tasks(),
            open_questions=_texts(12, "What was asked and not answered."),
        ),
    ),
    "sales_call": TemplateContent(
        description="A call or a talk in which somebody sells a product or a service to a customer.",
        instruction="Summarize this sales call with the headings Customer, Needs, Objections, Prices and terms, and "
        "Next steps. Name amounts and dates exactly as they were said. Leave out a heading of which nothing was said.",
        json_schema=_object(
            customer=_text(200),
            needs=_texts(8, "What the customer wants."),
            objections=_texts(8, "What the customer doubts or refuses."),
            prices_and_terms=_texts(8, "Amounts, discounts, dates and conditions, as they were said."),
            next_steps=_tasks(8),
        ),
    ),
    "medical_handover": TemplateContent(
        description="A handover in which medical staff tell the next shift or team about a patient.",
        instruction="Summarize this handover with the headings Situation, Background, Assessment and Recommendation. "
        "Give names, doses, values and times exactly as they were said, and add nothing that was not said.",
        json_schema=_object(
            patient=_text(200),
            situation=_text(600),
            background=_text(600),
            assessment=_text(600),
            recommendation=_texts(12, "What the next team is to do or to watch."),
            medication=_texts(12, "Each drug with dose and time, as they were said."),
            allergies=_texts(8, "Allergies that were named."),
        ),
    ),
    "lecture": TemplateContent(
        description="A lecture, a lesson or a talk in which one person explains a subject.",
        instruction="Summarize this lecture for somebody who missed it: the subject in one sentence, then the main "
        "points in their order, each with its reason or example, then the terms that were defined.",
        json_schema=_object(
            subject=_text(300),
            main_points=_texts(12, "The main points in their order."),
            terms={
                "type": "array",
                "maxItems": 12,
                "items": _object(term=_text(100), meaning=_text(300)),
                "description": "Terms that were defined.",
            },
            to_do=_texts(8, "What listeners are to read or do."),
        ),
    ),
    "voicemail": TemplateContent(
        description="A message that one caller leaves for somebody who did not answer the phone.",
        instruction="Say who called, why, whether and until when to call back, and at which number. Give names, "
        "numbers and times exactly as they were said.",
        length="40",
        json_schema=_object(
            caller=_text(100),
            number=_text(60, "The number to call back, as it was said."),
            reason=_text(400),
            call_back_by=_text(100, "Empty if no time was said."),
            urgent={"type": "boolean"},
        ),
    ),
    "incident_review": TemplateContent(
        description="A review of an incident, an outage or an accident: what happened, why, and what follows.",
        instruction="Summarize this review with the headings Impact, Timeline, Causes, What helped and Actions. Give "
        "times exactly as they were said. Say what happened without blaming a person. Leave out a heading of which "
        "nothing was said.",
        json_schema=_object(
            impact=_text(600),
            timeline={
                "type": "array",
                "maxItems": 20,
                "items": _object(time=_text(60), event=_text(300)),
                "description": "What happened when, in order; an empty time where none was said.",
            },
            causes=_texts(8, "Why it happened."),
            what_helped=_texts(8, "What found or ended it."),
            actions=_tasks(),
        ),
    ),
}  # fmt: skip

BUILTIN_TEMPLATES = {name: Template(name, content, is_builtin=True) for name, content in _CONTENTS.items()}
