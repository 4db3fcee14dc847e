"""Speech for training: texts are spoken by three text-to-speech engines, disturbed as real recordings are, and written
as compact files.

    voices.py      who may speak in which split; the voices kept for acceptance
    spoken.py      written text → the words an engine should say
    synthesize.py  one text, or the turns of a conversation → 16 kHz samples (espeak-ng, flite)
    kokoro.py      the same for Kokoro-82M
    augment.py     noise, reverberation, telephone, speed, gain, clipping, codecs
    build.py       a JSONL of records → audio files and a JSONL that names them
"""
