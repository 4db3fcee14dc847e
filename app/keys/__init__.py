"""API keys: what each may do, and how much of it. Knows nothing about HTTP."""
