"""Connections to hosts that callers name: recordings by URL, and webhooks. Knows nothing about audio."""
