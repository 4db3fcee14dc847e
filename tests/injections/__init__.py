"""Spoken injections: instructions hidden in what a recording says, and how often a model obeys them.

talks.py      innocent talks
signs.py      how an answer shows that an instruction was obeyed, told apart from a summary that mentions it
attacks.py    the instructions, each with its sign and its place in a talk
ways.py       how a model gets to read a talk: as a recording, as a transcript, as notes on a long recording
measure.py    the attack rate
__main__.py   `python -m tests.injections`: measures a running service, or a model's text side, into results/
"""
