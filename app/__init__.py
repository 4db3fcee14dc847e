"""The service: recorded speech in, a summary out. Knows nothing about training."""
