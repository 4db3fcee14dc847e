"""OpenTelemetry traces: spans around the stages of a request, joined with those of its caller and of vLLM.

While no endpoint is set, nothing of OpenTelemetry is imported, and a span costs a function call. Attributes of answers
are named by the GenAI semantic conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/). No span holds audio,
texts, file names or keys, and of an exception only its type.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from app.settings import TracingSettings, setting_name
from app.version import package_version

SpanKind = Literal["internal", "server", "client", "consumer"]
Attribute = str | bool | int | float | list[str]
SERVICE_NAME = "speechsum"
EXPORT_SECONDS = 5  # longest time for a batch of spans, and so for the last one when the service stops


class Span(Protocol):
    """A span as its block sees it."""

    def set(self, **attributes: Attribute) -> None:
        """Set attributes. Underscores twice stand for dots: `gen_ai__usage__input_tokens`."""

    def rename(self, name: str) -> None:
        """Give the span another name, which is known only now."""

    def add_event(self, name: str) -> None:
        """Note that something has happened now."""

    def fail(self, error_type: str) -> None:
        """Mark the span as failed. error_type: an exception's name, or a status."""


class _NoSpan:
    def set(self, **attributes: Attribute) -> None: ...

    def rename(self, name: str) -> None: ...

    def add_event(self, name: str) -> None: ...

    def fail(self, error_type: str) -> None: ...


class _RecordedSpan:
    def __init__(self, span: Any) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def add_event(self, name: str) -> None:
        self._span.add_event(name)

    def fail(self, error_type: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR)


_NO_SPAN = _NoSpan()


class _Tracing:
    """The traces of this process, of which there are one or none, as of OpenTelemetry's own provider."""

    provider: Any = None
    tracer: Any = None
    settings: TracingSettings | None = None


_tracing = _Tracing()


def check_tracing(settings: TracingSettings) -> None:
    """Raise ValueError if traces are wanted and OpenTelemetry is not installed."""
    if not settings.endpoint:
        return
    try:
        _exporter_class(settings)
    except ImportError as error:
        raise ValueError(
            f"{setting_name('tracing', 'endpoint')} is set, and OpenTelemetry is not installed: "
            "pip install '.[tracing]' in the folder of the repository"
        ) from error


def start_tracing(settings: TracingSettings, exporter: Any = None) -> None:
    """Send traces from now on, if the settings name an endpoint.

    Args:
        settings: Where they are sent, and how many.
        exporter: An OpenTelemetry `SpanExporter` in place of the one of the settings.
    """
    if not settings.endpoint:
        return
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = {"service.name": os.environ.get("OTEL_SERVICE_NAME", SERVICE_NAME), "service.version": package_version()}
    provider = TracerProvider(
        resource=Resource.create(resource),
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        shutdown_on_exit=False,
    )
    exporter = exporter or _exporter_class(settings)(endpoint=settings.endpoint, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracing.provider, _tracing.settings = provider, settings
    _tracing.tracer = provider.get_tracer(SERVICE_NAME, package_version())
    # vLLM in this process makes its spans with the global provider, and its own processes read the variable.
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", settings.protocol)


def stop_tracing() -> None:
    """Send what is left and stop. Calling it twice does no harm. It may take seconds if nobody takes the spans."""
    provider, _tracing.provider, _tracing.tracer, _tracing.settings = _tracing.provider, None, None, None
    if provider is not None:
        provider.shutdown()


def vllm_endpoint() -> str | None:
    """Return where vLLM in this process sends its spans; None if there are no traces."""
    return _tracing.settings.endpoint if _tracing.settings else None


@contextmanager
def start_span(
    name: str,
    kind: SpanKind = "internal",
    parent: Mapping[str, str] | None = None,
    link: Mapping[str, str] | None = None,
    **attributes: Attribute,
) -> Iterator[Span]:
    """Open a span around the block. An exception that passes marks it as failed; its message is not recorded.

    Args:
        name: What is done.
        kind: "server" and "consumer" for work that came from outside, "client" for a call to a model.
        parent: The headers of the caller, of which `traceparent` and `tracestate` are read. None continues this
            context.
        link: The headers of an earlier span, as `trace_headers` returned them. This span names that one, and is not a
            part of its trace. None names no span.
        attributes: As `Span.set` takes them.
    """
    if _tracing.tracer is None:
        yield _NO_SPAN
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None if parent is None else TraceContextTextMapPropagator().extract(parent)
    with _tracing.tracer.start_as_current_span(
        name,
        context=context,
        kind=trace.SpanKind[kind.upper()],
        links=[] if link is None else _links(link),
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        span = _RecordedSpan(recorded)
        span.set(**attributes)
        try:
            yield span
        except BaseException as error:
            span.fail(type(error).__name__)
            raise


def _links(headers: Mapping[str, str]) -> list[Any]:
    """Return the link to the span that these headers name; empty if they name none."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = trace.get_current_span(TraceContextTextMapPropagator().extract(headers)).get_span_context()
    return [trace.Link(context)] if context.is_valid else []


def trace_headers() -> dict[str, str]:
    """Return the headers that continue this context's trace elsewhere; empty if there is none."""
    headers: dict[str, str] = {}
    if _tracing.tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)
    return headers


def current_trace() -> dict[str, str]:
    """Return `trace_id` and `span_id` of this context, in hexadecimal digits; empty if there is no trace."""
    if _tracing.tracer is None:
        return {}
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _exporter_class(settings: TracingSettings) -> Any:
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter
