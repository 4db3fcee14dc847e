"""Where the service connects to on a caller's word: recordings by URL, and webhooks. Knows nothing about audio."""
