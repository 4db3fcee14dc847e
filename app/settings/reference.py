"""What the settings say about themselves: their list, misspelt names, and the text of `.env.example`."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.settings.names import CLIENT_VARIABLES, PREFIX, setting_name
from app.settings.root import Settings


def setting_fields(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting as its path, such as `("limits", "upload_bytes")`, and its field."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_fields(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def unknown_variables(environ: Mapping[str, Any]) -> list[str]:
    """Return the variables that have the prefix of settings but are not settings, sorted.

    Without a warning about them, a misspelt name would be ignored.
    """
    known = {setting_name(*path) for path, _ in setting_fields()} | CLIENT_VARIABLES
    known |= {setting_name(name) for name in Settings.model_fields}
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def env_example() -> str:
    """Return the text of `.env.example`: each setting with its description, its name and its default."""
    lines = ["# Settings of the service, each with its default. Copy to .env and uncomment what you change."]
    lines += ["# Written by `speechsum settings`; edit app/settings/ instead."]
    section: str | None = None
    for path, field in setting_fields():
        if len(path) > 1 and path[0] != section:
            section = path[0]
            annotation = Settings.model_fields[section].annotation
            lines += ["", f"# --- {section}: {annotation.__doc__ if annotation else ''}"]
        default = "" if field.default in (None, PydanticUndefined) else field.default
        default = str(default).lower() if isinstance(default, bool) else default
        default = ",".join(map(str, default)) if isinstance(default, list) else default
        default = default.get_secret_value() if isinstance(default, SecretStr) else default
        lines += ["", f"# {field.description}", f"# {setting_name(*path)}={default}"]
    return "\n".join(lines) + "\n"
