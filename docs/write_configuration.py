"""Writes `docs/configuration.md` and `.env.example` from the settings, each with its sentence and its default.

python docs/write_configuration.py           writes both
python docs/write_configuration.py --check   fails if one of them is not what would be written
"""

import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.settings import Settings, env_example, setting_fields, setting_name

PAGE = Path(__file__).with_name("configuration.md")
ENV_EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"
HEAD = """\
# Configuration

<!-- Written by docs/write_configuration.py from app/settings/: change the setting there and run `make docs-write`. -->

Every setting is an environment variable. The service also reads lines of the form `NAME=value` from a file `.env` in
the folder where it starts; the environment wins over the file. `speechsum settings` prints the same list as a template
for such a file, and `.env.example` in the repository is that template. A variable that begins with `SPEECHSUM_` and is
not in this list is named in a warning when the service starts.

Lists are separated by commas. Times are in seconds and sizes are in bytes where the text says nothing else.
"""
GENERAL = "General"


def configuration_page() -> str:
    """The page as Markdown: a section for each group of settings, a table in each."""
    lines, section = [HEAD], None
    for path, field in setting_fields():
        here = path[0] if len(path) > 1 else ""
        if here != section:
            section = here
            lines += ["", *_heading(section), "", "| Setting | Default | What it does |", "|---|---|---|"]
        lines.append(f"| `{setting_name(*path)}` | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def _heading(section: str) -> list[str]:
    if not section:
        return [f"## {GENERAL}"]
    annotation = Settings.model_fields[section].annotation
    return [f"## {section.capitalize()}", "", annotation.__doc__ or ""]


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default in (None, PydanticUndefined, "", []):
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{','.join(map(str, default)) if isinstance(default, list) else default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write or check both files; returns the exit status."""
    status = 0
    for path, text in ((PAGE, configuration_page()), (ENV_EXAMPLE, env_example())):
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path.name} is not what app/settings/ says: run `make docs-write`.", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
