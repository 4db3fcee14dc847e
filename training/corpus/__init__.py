"""Deprecated: `python -m training.corpus` is `python -m training.synth.text` now. This alias goes with the next
release.
"""
