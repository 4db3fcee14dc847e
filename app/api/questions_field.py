"""The field `questions`: several questions about one recording, as a repeated field or as one JSON list.

Knows nothing about how they are answered.
"""

import json
from typing import Annotated

from pydantic import Field, StringConstraints

MAX_QUESTIONS = 10
MAX_QUESTION_CHARACTERS = 500

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARACTERS)]
Questions = Annotated[
    list[Question],
    Field(
        max_length=MAX_QUESTIONS,
        description=f"Questions about the recording, {MAX_QUESTIONS} at most, each of up to "
        f"{MAX_QUESTION_CHARACTERS} characters. The recording is heard once; each question is answered on its own, in "
        "`answers`, after the summary. Repeat the field, or send one JSON list.",
    ),
]


def split_list(values: list[str]) -> list[object]:
    """Return the entries of a list field as a form or a query holds it: each value is one entry, or a JSON list of
    several. Blank values are left out. What is invalid is returned as it is, for the validation of the field.
    """
    entries: list[object] = []
    for value in values:
        if not value.strip():
            continue
        try:
            parsed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            parsed = None
        entries += parsed if isinstance(parsed, list) else [value]
    return entries
