"""Programs for those who work on this repository. Nothing here is part of the installed package.

public_surface.py     what users of the project see, written to a file, and two such files compared
collect_surface.py    how that is collected
source_names.py       the part of it that only the source tells
soak                  `python -m tools.soak`: mixed traffic and faults against a real service
"""
