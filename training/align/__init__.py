"""Alignment, the stage before SFT: frames that are words the language model already reads, without running that model.

    speechsum-train align --base FOLDER --data var/data/speech/records.jsonl --out var/runs/align --minutes 30

Three steps. `encoder`: what the frozen lower layers give, worked out once a clip and kept. `characters`: a throw-away
CTC head finds when each letter is said. `tokens`: the last encoder layers (LoRA) and the projector (whole) learn to
put each token's embedding into the frame its last letter is said in, and a space's into all others. The paper (arXiv
2509.19631) freezes its encoder; a four-layer Whisper, made to be listened to by a decoder over 30 s, does not spell
frame by frame unless it is taught to. Of the language model only the embeddings are used, so that a step costs a small
part of an end-to-end one.

A frame can only be taught to say what it is given as a class. Words that are rare in the data, and all that are not in
it, are therefore spelled with `--spell-below N`, a letter's token a frame, as the language model can read them too;
without it, words of other tokens than the `--classes` most frequent are trained to be passed over, and a name that was
never met comes out as one that was. `speechsum-train legible` shows what the frames say.

Limits: one window (30 s) a clip; longer clips, and such as do not fit their text, are left out and counted. One
process.
"""

from training.align.command import add_arguments, run

__all__ = ["add_arguments", "run"]
