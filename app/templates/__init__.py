"""Summary templates: what to ask of a kind of recording, kept under a name.

template.py  what a template holds
builtin.py   those that every caller has
store.py     those of callers, in the database
"""
