"""What the service tells its operator of one request: a line of the log and a trace. Metrics are in `app.metrics`.

Nothing here holds audio, texts, file names or API keys.
"""
