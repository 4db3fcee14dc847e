"""The path of one request from the recording to the summary."""
