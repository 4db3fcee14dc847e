"""Summaries as JSON: the schemas that callers may send, and the parsing of answers."""
