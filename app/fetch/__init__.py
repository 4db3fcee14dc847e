"""Recordings by URL: what may be fetched, and the fetching. Knows nothing about routes, nor about audio."""
