"""A training run on a machine with a GPU, some minutes and no network: what travels there, and what runs there.

    pack.sh              here: everything the machine lacks, in parts small enough to travel
    receive.sh           there: takes the parts in, verifies, unpacks
    run.sh               there: speech, the text twin, alignment, SFT, KD, DPO, each within its seconds
    cut.py               Whisper's encoder without its decoder, to travel
    repeats.py           spoken records → "repeat what is said" records
    some.py              a share of spoken records
    table.py             what the run came to, as JSON and as a short table
    guard/               for rehearsals: hides every package that the machine would not have

docs/offline-gpu.md holds the calls in their order. Nothing here is part of the usual pipeline (`speechsum-train`),
which it runs.
"""
