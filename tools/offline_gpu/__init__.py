"""A training run of some minutes on a machine with a GPU and without a network.

    pack.sh                  runs here: packs everything that the machine lacks into parts that can be sent with a call
    receive.sh               runs there: verifies the parts, and unpacks them
    run.sh                   runs there: speech, text twin, alignment, SFT, distillation and DPO, each with a time limit
    cut_whisper_encoder.py   Whisper's encoder without its decoder, which is not needed there
    split_starts.py          the parts of a trained adapter from which stages continue
    repeat_records.py        records that ask for the words of the recording
    sample_records.py        a random sample of spoken records
    run_summary.py           the result of a run, as JSON and as a short table
    guard/                   for rehearsals: hides every package that the machine does not have

docs/offline-gpu.md lists the calls in their order. The usual pipeline (`speechsum-train`) does not use this package;
this package runs the pipeline.
"""
