"""Spoken injections: instructions that a recording says, and how often a model obeys them.

talks.py      harmless talks
signs.py      how an answer shows that an instruction was obeyed, and not only mentioned in a summary
attacks.py    the instructions, each with its sign and its place in a talk
readers.py    how a model gets a talk: as a recording, as a transcript, or as notes on a long recording
measure.py    the attack rate
__main__.py   `python -m tests.injections`: measures a running service or the text side of a model, into results/
"""
