"""Alignment, the stage before SFT: encoder frames learn to be words that the language model can already read, without
running the language model. `training.align.command` is the command.

    speechsum-train align --base FOLDER --data var/data/speech/records.jsonl --out var/runs/align --minutes 30

It has three steps. First, the output of the frozen lower layers of the encoder is computed once for each clip and kept.
Second, a temporary CTC head over characters finds when each letter is said. Third, the last encoder layers (LoRA) and
the projector (whole) learn to put the embedding of each token into the frame in which its last letter is said, and the
embedding of a space into all other frames. The paper (arXiv 2509.19631) freezes its encoder. A Whisper encoder of four
layers, which was trained for a decoder that attends to 30 s, does not spell frame by frame unless it is trained to. Of
the language model only the embeddings are used, so a step costs a small part of an end-to-end step.

A frame can only learn to say what is one of the classes. With `--spell-below N`, words that are rare in the data or not
in it are therefore spelled: one frame for the token of each letter, which the language model can read, too. Without it,
words with tokens outside of the `--classes` most frequent ones are skipped, and a name that was never seen comes out as
one that was. `speechsum-train probe` shows what the frames say.

Limits: a clip is at most one window (30 s). Longer clips, and clips that do not fit their text, are left out and
counted. It runs as one process.
"""
