"""Recordings that are kept for a while, so that a later request about them need not send them again."""
