"""Routes for operators: `/startupz`, `/livez`, `/readyz` and `/metrics`."""

from fastapi import APIRouter, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from app.api.app_state import app_state
from app.api.error_responses import error_responses
from app.api.protocol import Health
from app.core.errors import NotReady

router = APIRouter(tags=["operations"])

METRICS_MEDIA_TYPES = ("text/plain", "application/openmetrics-text")


@router.get("/startupz", summary="Has the service started?", responses=error_responses(503))
async def startupz(request: Request) -> Health:
    """The status is 503 until the first model has answered its warm-up inference, and 200 from then on."""
    service = app_state(request).service
    service.check_started()
    return Health(model=service.default_model.id)


@router.get("/livez", summary="Is the process alive?", responses=error_responses(503))
async def livez(request: Request) -> Health:
    """The status is 200 while the engine is being loaded and while it lives, and 503 once only a restart helps."""
    service = app_state(request).service
    await service.check_live()
    return Health(model=service.default_model.id)


@router.get("/readyz", summary="Is the service ready?", responses=error_responses(503))
async def readyz(request: Request) -> Health:
    """The status is 200 after one real warm-up inference, while the engine lives and the database's file exists. From
    SIGTERM on it is 503 with the code `draining`, although requests are still answered for a while.
    """
    state = app_state(request)
    if state.draining.is_set():
        raise NotReady(
            "The service is draining: it is about to stop. Send requests to another one.",
            code="draining",
            retry_after_s=state.service.settings.limits.retry_after_seconds,
        )
    await state.service.check_ready()
    state.jobs.check_database()
    return Health(model=state.service.default_model.id)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in METRICS_MEDIA_TYPES}}},
)
async def metrics(request: Request) -> Response:
    """The metrics of the service (`speechsum_…`), the engine (`vllm:…`) and the process, in the format that `Accept`
    asks for.
    """
    await app_state(request).jobs.gauges.refresh()
    encoder, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(REGISTRY), headers={"content-type": content_type})
