# ruff: noqa: SIM905  (word lists read better as text)
"""Writes whole numbers in German, Spanish and French words, as they are searched in a transcript.

The words have no spaces, hyphens and accents, because a recognizer writes these differently. Where a language knows
several forms, the shortest beginning that they share is written. Knows nothing about transcripts.
"""

LANGUAGES = ("de", "es", "fr")

_DE = "null ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn achtzehn neunzehn".split()  # noqa: E501
_DE_TENS = "- - zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig".split()
_ES = "cero un dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete dieciocho diecinueve veinte veintiun veintidos veintitres veinticuatro veinticinco veintiseis veintisiete veintiocho veintinueve".split()  # noqa: E501
_ES_TENS = "- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_ES_HUNDREDS = "- cien doscient trescient cuatrocient quinient seiscient setecient ochocient novecient".split()
_FR = "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dixsept dixhuit dixneuf".split()  # noqa: E501
_FR_TENS = "- - vingt trente quarante cinquante soixante soixante quatrevingt quatrevingt".split()
MAX_NUMBER = 999_999


def number_in_words(number: int, language: str) -> str | None:
    """Return a number in words, or None for a number or a language (a BCP 47 primary tag) that is not known."""
    if not 0 <= number <= MAX_NUMBER or language not in LANGUAGES:
        return None
    below_thousand = {"de": _german, "es": _spanish, "fr": _french}[language]
    thousand = {"de": "tausend", "es": "mil", "fr": "mille"}[language]
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return below_thousand(rest)
    before = "" if thousands == 1 else below_thousand(thousands)
    return before + thousand + (below_thousand(rest) if rest else "")


def _german(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    before = ("" if hundreds == 1 else _DE[hundreds]) + "hundert" if hundreds else ""
    if not rest and hundreds:
        return before
    if rest < 20:
        return before + _DE[rest]
    return before + (_DE[rest % 10] + "und" if rest % 10 else "") + _DE_TENS[rest // 10]


def _spanish(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    # "doscientos" and "doscientas" differ behind this beginning, so a number that goes on is not compared further.
    if hundreds and rest:
        return ("ciento" if hundreds == 1 else _ES_HUNDREDS[hundreds] + "os") + _spanish(rest)
    if hundreds:
        return _ES_HUNDREDS[hundreds]
    if rest < 30:
        return _ES[rest]
    return _ES_TENS[rest // 10] + ("y" + _ES[rest % 10] if rest % 10 else "")


def _french(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if hundreds:
        before = ("" if hundreds == 1 else _FR[hundreds]) + "cent"
        return before + (_french(rest) if rest else "")
    if rest < 20:
        return _FR[rest]
    tens, unit = rest // 10, rest % 10
    if tens in (7, 9):
        unit += 10
    link = "et" if unit in (1, 11) and tens < 8 else ""
    return _FR_TENS[tens] + (link + _FR[unit] if unit else "")
