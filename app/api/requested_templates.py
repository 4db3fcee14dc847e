"""The summary template that a request names, found and applied. How templates work is in `app.summarize.templates`."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from app.summarize.request import OutputFormat, SummaryRequest
from app.summarize.templates import apply_template, template_output_format
from app.templates.store import TemplateStore
from app.templates.template import AUTO, Template, TemplateContent

# The field under which a job keeps the template that it was queued with, as it was then.
PINNED_FIELD = "template.pinned"


@dataclass(frozen=True)
class RequestedTemplates:
    """What a request names. template: one that is applied. candidates: those that one is chosen from (`auto`)."""

    template: Template | None = None
    candidates: tuple[Template, ...] = ()

    def output_format(self, requested: OutputFormat) -> OutputFormat:
        """Return the output format with the template's schema, if it is needed. Raises what `apply` raises."""
        return template_output_format(requested, self.template) if self.template else requested

    def apply(self, request: SummaryRequest) -> SummaryRequest:
        """Return the request with the template, or with the candidates for one.

        Raises InvalidRequest (400) if the template's schema is needed and cannot be used.
        """
        if self.template is not None:
            return apply_template(request, self.template)
        return replace(request, template_candidates=self.candidates) if self.candidates else request


FindTemplates = Callable[[str | None], Awaitable[RequestedTemplates]]


async def find_templates(store: TemplateStore, owner: str, name: str | None) -> RequestedTemplates:
    """Return the template of this name, or all that `auto` may choose from. name: None asks for none.

    Raises NotFound (404), which lists the templates that there are, and Unavailable (503) if the database cannot be
    used.
    """
    if name is None:
        return RequestedTemplates()
    if name == AUTO:
        return RequestedTemplates(candidates=tuple(await store.list_templates(owner)))
    return RequestedTemplates(await store.get(owner, name, param="template"))


def pinned_pairs(requested: RequestedTemplates) -> list[tuple[str, str]]:
    """Return what a job keeps of its template beside the name: its content, which may change before the job runs."""
    template = requested.template
    if template is None or template.is_builtin:
        return []
    return [(PINNED_FIELD, template.content.model_dump_json(exclude_none=True))]


def pinned_template(fields: Iterable[Sequence[str]]) -> RequestedTemplates | None:
    """Return the template that a job was queued with; None if it keeps none. fields: the job's, by name and value."""
    values = {name: value for name, value in fields}
    if PINNED_FIELD not in values:
        return None
    return RequestedTemplates(Template(values["template"], TemplateContent.model_validate_json(values[PINNED_FIELD])))
