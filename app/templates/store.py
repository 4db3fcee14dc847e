"""Templates in the database, by owner. Without API keys all callers have one set, whose owner is empty.

Knows nothing about HTTP, and nothing about the built-in templates beyond their names.
"""

import time

from sqlalchemy import RowMapping, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.errors import Conflict, InvalidRequest, NotFound, quote
from app.database.rows import read_connection
from app.database.tables import TEMPLATES
from app.settings import setting_name
from app.templates.builtin import BUILTIN_TEMPLATES
from app.templates.template import (
    AUTO,
    MAX_NAME_CHARACTERS,
    RESERVED_NAMES,
    Template,
    TemplateContent,
    is_name,
)

CREATION_LOCK = 0x74706C  # the advisory lock of PostgreSQL that is held while templates are counted and one is added


class TemplateStore:
    """The templates of all owners.

    max_per_owner: how many one owner may have; the built-in ones do not count.
    """

    def __init__(self, max_per_owner: int) -> None:
        self.max_per_owner = max_per_owner
        self._database: AsyncEngine | None = None

    def connect(self, database: AsyncEngine) -> None:
        """Start to use the database. Must be called before anything else."""
        self._database = database

    @property
    def database(self) -> AsyncEngine:
        """The database, which must be connected."""
        assert self._database is not None
        return self._database

    async def list_templates(self, owner: str) -> list[Template]:
        """Return the built-in templates, and then the owner's by name."""
        query = select(TEMPLATES).where(TEMPLATES.c.owner == owner).order_by(TEMPLATES.c.name)
        async with read_connection(self.database) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [*BUILTIN_TEMPLATES.values(), *map(_template, rows)]

    async def get(self, owner: str, name: str, param: str | None = None) -> Template:
        """Return a template. param: the field of the request that names it.

        Raises NotFound (404), which lists the templates that there are.
        """
        if name in BUILTIN_TEMPLATES:
            return BUILTIN_TEMPLATES[name]
        if is_name(name):
            async with read_connection(self.database) as connection:
                row = (await connection.execute(select(TEMPLATES).where(*_key(owner, name)))).mappings().first()
            if row is not None:
                return _template(row)
        known = ", ".join(one.name for one in await self.list_templates(owner))
        raise NotFound(
            f"There is no template {quote(name)}. The templates are: {known}; in a request also {AUTO}, which chooses "
            "one by the recording.",
            code="template_not_found",
            param=param,
        )

    async def create(self, owner: str, name: str, content: TemplateContent) -> Template:
        """Add a template. If there is an equal one, it is returned, so that a repeat of the request does no harm.

        Raises:
            InvalidRequest: The name is malformed or reserved (400).
            Conflict: There is another one of this name, or the owner has as many as are allowed (409).
        """
        _check_name(name)
        now = time.time()
        async with self.database.begin() as connection:
            await _lock(connection)
            row = (await connection.execute(select(TEMPLATES).where(*_key(owner, name)))).mappings().first()
            if row is not None and (found := _template(row)).content == content:
                return found
            if row is not None:
                raise Conflict(
                    f"There is another template {name!r} already. PUT replaces it.",
                    code="template_exists",
                    param="name",
                )
            owned = select(func.count()).select_from(TEMPLATES).where(TEMPLATES.c.owner == owner)
            count = (await connection.execute(owned)).scalar_one()
            if count >= self.max_per_owner:
                raise Conflict(
                    f"There are {count} templates, the most that are kept for one API key. Delete one first. The "
                    f"setting is {setting_name('limits', 'templates')}.",
                    code="too_many_templates",
                )
            values = {"owner": owner, "name": name, "content": _content_row(content), "created": now, "updated": now}
            await connection.execute(insert(TEMPLATES).values(**values))
        return Template(name, content, created=now, updated=now)

    async def replace(self, owner: str, name: str, content: TemplateContent) -> Template:
        """Replace everything in a template. Raises what `delete` raises."""
        _check_not_builtin(name)
        now = time.time()
        change = update(TEMPLATES).where(*_key(owner, name)).values(content=_content_row(content), updated=now)
        async with self.database.begin() as connection:
            created = (await connection.execute(change.returning(TEMPLATES.c.created))).scalar()
        if created is None:
            return await self.get(owner, name)  # raises NotFound
        return Template(name, content, created=created, updated=now)

    async def delete(self, owner: str, name: str) -> None:
        """Delete a template. Raises NotFound (404), and Conflict (409) if it is a built-in one."""
        _check_not_builtin(name)
        async with self.database.begin() as connection:
            deleted = (await connection.execute(delete(TEMPLATES).where(*_key(owner, name)))).rowcount
        if not deleted:
            await self.get(owner, name)  # raises NotFound


async def _lock(connection: AsyncConnection) -> None:
    """Let one transaction at a time count and add. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": CREATION_LOCK})


def _check_name(name: str) -> None:
    _check_not_builtin(name)
    if not is_name(name):
        raise InvalidRequest(
            f"A template's name has lower-case letters, digits and _ and begins with a letter; it has at most "
            f"{MAX_NAME_CHARACTERS} characters and is not {' or '.join(RESERVED_NAMES)}. This one is {quote(name)}.",
            code="invalid_field",
            param="name",
        )


def _check_not_builtin(name: str) -> None:
    if name in BUILTIN_TEMPLATES:
        raise Conflict(
            f"{name!r} is a built-in template, which cannot be changed. Create one under another name.",
            code="template_built_in",
            param="name",
        )


def _key(owner: str, name: str):  # type: ignore[no-untyped-def]
    return TEMPLATES.c.owner == owner, TEMPLATES.c.name == name


def _content_row(content: TemplateContent) -> dict[str, object]:
    return content.model_dump(mode="json", exclude_none=True)


def _template(row: RowMapping) -> Template:
    content = TemplateContent.model_validate(row["content"])
    return Template(row["name"], content, created=row["created"], updated=row["updated"])
