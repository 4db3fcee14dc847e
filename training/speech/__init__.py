"""Deprecated: `python -m training.speech` is `python -m training.synth.speech` now. This alias goes with the next
release.
"""
