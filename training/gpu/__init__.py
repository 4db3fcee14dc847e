"""A training run on a machine with a GPU, some minutes and no network: what travels there, and what runs there.

    pack.sh              here: everything the machine lacks, in parts small enough to travel
    receive.sh           there: takes the parts in, verifies, unpacks
    run.sh               there: speech, alignment, the text twin, SFT, evaluation, each within its minutes
    cut.py               Whisper's encoder without its decoder, to travel
    encode.py            the frozen layers' output for many clips, in several threads
    repeats.py           spoken records → "repeat what is said" records
    try_out.py           summaries of held-out recordings by Transformers' generate, their facts counted
    table.py             what the run came to, as JSON and as a short table
    guard/               for rehearsals: hides every package that the machine would not have

README.md holds the calls in their order. Nothing here is part of the usual pipeline (`speechsum-train`), which it runs.
"""
