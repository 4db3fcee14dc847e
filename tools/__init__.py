"""Programs for those who work on this repository. Nothing here is part of the installed package.

public_surface.py     what a user of the project can see, written to a file, and two such files compared
collect_surface.py    how that is collected from the code
"""
