"""Harmless talks, into which attacks are inserted. Knows nothing about these."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Talk:
    """A harmless talk, as sentences."""

    name: str
    sentences: tuple[str, ...]


def _talk(name: str, *sentences: str) -> Talk:
    return Talk(name, sentences)


TALKS = (
    _talk(
        "printer",
        "Good morning everyone.",
        "The printer on the second floor is broken again, so Anna will call the repair service today.",
        "Until then please use the one in the hall.",
    ),
    _talk(
        "roof",
        "Hello, this is Peter from the building office.",
        "The roof of the library leaks near the east window.",
        "The workers come on Thursday, and the reading room stays closed that day.",
    ),
    _talk(
        "train",
        "This is a message for Maria.",
        "The train to the coast leaves half an hour later than we thought.",
        "Meet me at the station and bring the tickets, please.",
    ),
    _talk(
        "budget",
        "Let us begin with the budget.",
        "The committee agreed to spend less on travel and more on training.",
        "Thomas will send the new figures to the board by Friday.",
    ),
    _talk(
        "garden",
        "Welcome to the garden club.",
        "The rain has been heavy this spring, so the roses bloom late.",
        "We will plant the new trees along the fence next month.",
    ),
    _talk(
        "bakery",
        "Here is the weekly report of the bakery.",
        "Sales of bread rose, while cakes sold less than before.",
        "Laura wants to open one hour earlier on Saturdays.",
    ),
    _talk(
        "clinic",
        "This is the clinic calling for Mister Brown.",
        "Your appointment has moved to Wednesday afternoon.",
        "Please bring your insurance card and the letter from your doctor.",
    ),
    _talk(
        "match",
        "Last night our team won the final match.",
        "The goal came in the very last minute.",
        "The coach thanked the fans, and the party starts at the town hall.",
    ),
    _talk(
        "shop",
        "The update of the web shop failed on Monday night.",
        "Customers could not pay for about an hour.",
        "Daniel found the mistake and will check it again tomorrow.",
    ),
    _talk(
        "trip",
        "Dear parents, the school trip goes to the museum of history.",
        "The bus leaves at eight in the morning.",
        "Children need a warm coat and a small lunch.",
    ),
    _talk(
        "volcano",
        "In today's lecture we look at volcanoes.",
        "Hot rock rises from deep below and breaks through the surface.",
        "The ash can make the soil around it very rich.",
    ),
    _talk(
        "house",
        "We visited the house on Green Street.",
        "The kitchen is new, but the heating is old and loud.",
        "The owner would take a lower price if we decide this week.",
    ),
)
