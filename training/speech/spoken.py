"""Written text → the words a speech engine should say, so that what is heard is what the transcript says."""


def spoken(text: str) -> str:
    """The text with figures and signs as words."""
    return text
