"""Query parameters that a route does not know are refused, not ignored: a misspelt filter would answer another
question.

Knows nothing about which routes there are.
"""

from fastapi import Request
from fastapi.routing import APIRoute

from app.core.errors import InvalidRequest, quote


async def reject_unknown_query(request: Request) -> None:
    """Dependency of a route: each parameter of the query is one of the route's own, and is there once. Raises
    InvalidRequest (400).
    """
    route: APIRoute = request.scope["route"]
    known = [parameter.alias for parameter in route.dependant.query_params]
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            shown = f"Known are: {', '.join(known)}." if known else "This route takes none."
            raise InvalidRequest(f"Unknown query parameter {quote(name)}. {shown}", code="unknown_field", param=name)
        if name in seen:
            twice = f"The query parameter {quote(name)} is given twice."
            raise InvalidRequest(twice, code="duplicate_field", param=name)
        seen.add(name)
