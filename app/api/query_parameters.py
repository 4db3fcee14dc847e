"""Query parameters that a route does not have are refused and not ignored, since a misspelt filter would change the
answer without notice.

Knows nothing about which routes there are.
"""

from fastapi import Request
from fastapi.routing import APIRoute

from app.core.errors import InvalidRequest, quote


async def reject_unknown_query(request: Request) -> None:
    """Dependency of routes. Raises InvalidRequest (400) if the query has a parameter that the route does not have, or
    has one twice.
    """
    route: APIRoute = request.scope["route"]
    known = [parameter.alias for parameter in route.dependant.query_params]
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            shown = f"The known parameters are: {', '.join(known)}." if known else "This route has none."
            raise InvalidRequest(f"Unknown query parameter {quote(name)}. {shown}", code="unknown_field", param=name)
        if name in seen:
            message = f"The query parameter {quote(name)} is given twice."
            raise InvalidRequest(message, code="duplicate_field", param=name)
        seen.add(name)
