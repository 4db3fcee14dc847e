"""HTTP only: the routes, their typed requests and responses, and the encoding of errors and events."""
