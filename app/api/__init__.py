"""HTTP only: routes, their typed requests and responses, and how errors and events look on the wire."""
