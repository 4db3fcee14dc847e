"""Speech for training: three text-to-speech engines speak texts, which are augmented with the defects of real
recordings and written as compact files.

    voices.py         the voices of each split, and the voices that are reserved for acceptance
    verbalize.py      written text → the words that an engine should say
    synthesize.py     one text, or the turns of a conversation → 16 kHz samples
    kokoro.py         the engine Kokoro-82M
    augment.py        noise, reverberation, telephone, speed, gain, clipping, codecs
    speak_records.py  a JSONL of records → audio files, and a JSONL that names them
"""
