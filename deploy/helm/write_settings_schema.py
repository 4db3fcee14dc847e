"""Writes the service's settings into the schema of the chart's values, so that Helm refuses a misspelt one.

python deploy/helm/write_settings_schema.py           writes them
python deploy/helm/write_settings_schema.py --check   fails if the schema has others
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from app.settings import PREFIX, setting_fields, setting_name

SCHEMA = Path(__file__).parent / "speechsum/values.schema.json"
# The chart sets these itself, from its other values.
OF_THE_CHART = {"HOST", "PORT", "CACHE_DIR", "JOBS__FOLDER", "JOBS__DATABASE", "JOBS__BLOBS"}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of `settings`: every setting that is neither a secret nor the chart's, without its prefix."""
    properties: dict[str, Any] = {}
    for path, field in setting_fields():
        name = setting_name(*path).removeprefix(PREFIX)
        if name not in OF_THE_CHART and "Secret" not in str(field.annotation):
            properties[name] = {"description": field.description, **_value_schema(field)}
    return {"type": "object", "additionalProperties": False, "properties": dict(sorted(properties.items()))}


def _value_schema(field: FieldInfo) -> dict[str, Any]:
    """What a value may be. Lists are text that is separated by commas; what may be left empty may be an empty text."""
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    options = schema.get("anyOf", [schema])
    types = [option.get("type", "string") for option in options]
    names = sorted({kind if kind in ("integer", "number", "boolean") else "string" for kind in types})
    bounds = {name: option[name] for option in options for name in BOUNDS if name in option}
    return {"type": names if len(names) > 1 else names[0], **bounds}


def main() -> int:
    """Write or check the schema; returns the exit status."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = settings_schema()
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(text)
    elif SCHEMA.read_text() != text:
        print(f"{SCHEMA.name} is not what app/settings/ says: run `make docs-write`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
