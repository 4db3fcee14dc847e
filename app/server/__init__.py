"""Serves the application over HTTP: listening sockets, connections, limits and shutdown."""
