"""The `align` command (`training.align` describes the method): it reads records and writes an adapter."""

import argparse
import json
import math
import multiprocessing
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from rapidfuzz.distance import Levenshtein
from torch import nn
from transformers import AutoTokenizer, WhisperFeatureExtractor

from training.align.character_ctc import CharacterHead, forced_alignments, train_head
from training.align.token_spikes import (
    Aligner,
    Spikes,
    class_token_ids,
    ctc_collapse,
    letter_classes,
    letter_token_ids,
    spoken_words,
    token_spikes,
)
from training.data.record import Record
from training.data.record_files import read_records
from training.families.audioflamingo3 import ENCODER_PROJECTIONS
from training.models.checkpoint import LORA_SCALE, adapter_tensors, load_adapter, open_model, save_adapter
from training.models.precision import add_precision_argument, autocast
from training.models.split_encoder import Clip, SplitEncoder, encode_clips, pad_frames
from training.runtime import process_clock, run_record
from training.runtime.option_names import add_option

WINDOW_SECONDS = 30


@dataclass
class AlignedClip:
    """A clip with the frames in which its tokens are said."""

    clip: Clip
    spikes: Spikes


def encoder_lora(first: int, layers: int, rank: int) -> LoraConfig:
    """Return the configuration of LoRA on every projection of the encoder's layers from number `first` on."""
    numbers = "|".join(str(i) for i in range(first, layers))
    pattern = rf".*audio_tower\.layers\.({numbers})\.{ENCODER_PROJECTIONS}"
    return LoraConfig(r=rank, lora_alpha=LORA_SCALE * rank, target_modules=pattern)


def clips_in_one_window(records: list[Record]) -> list[Record]:
    """Return the records that are known to fit one window of 30 s, and print how many are left out."""
    kept = [r for r in records if 0 < (r.duration_s or 0) <= WINDOW_SECONDS]
    print(
        f"{len(kept)} clips, {len(records) - len(kept)} longer than a window or of unknown length left out", flush=True
    )
    return kept


_worker_state: tuple[Any, dict[int, int], Mapping[str, int]]


def _set_worker_state(tokenizer: Any, number: dict[int, int], single: Mapping[str, int]) -> None:
    global _worker_state
    _worker_state = tokenizer, number, single


def _clip_spikes(text: str, frames: list[int], count: int) -> Spikes | None:
    return token_spikes(text, frames, count, *_worker_state)


@torch.no_grad()
def align_clips(
    head: CharacterHead,
    clips: Sequence[Clip],
    texts: Sequence[str],
    tokenizer: Any,
    classes: list[int],
    single: Mapping[str, int] = MappingProxyType({}),
    at_once: int = 128,
) -> list[AlignedClip]:
    """Return the clips with the frames in which their tokens are said. Clips that do not fit their text are left out; a
    printed line counts them.

    Args:
        head: the trained character head.
        texts: what is said in each clip, from `spoken_words`.
        classes: token ids of the classes, from `class_token_ids`.
        single: what `letter_token_ids` returns, to spell words that have tokens outside of the classes.
        at_once: clips aligned together.
    """
    device = next(head.parameters()).device
    number = {token: i for i, token in enumerate(classes) if i}  # no token is aligned to the blank
    order = sorted(range(len(clips)), key=lambda i: clips[i].record.duration_s or 0)
    aligned: list[tuple[int, list[int], int]] = []
    for start in range(0, len(order), at_once):
        group = order[start : start + at_once]
        frames, lengths = pad_frames([clips[i].top_features() for i in group], device)
        frames_of_letters = forced_alignments(
            head(frames), lengths.tolist(), [letter_classes(texts[i])[0] for i in group]
        )
        counts = [length // 2 for length in lengths.tolist()]
        aligned += [
            (i, path, n) for i, path, n in zip(group, frames_of_letters, counts, strict=True) if path is not None
        ]
    # This is Python, half a millisecond a clip. Forked processes inherit their arguments, and use no GPU.
    with multiprocessing.get_context("fork").Pool(
        initializer=_set_worker_state, initargs=(tokenizer, number, single)
    ) as pool:
        where = pool.starmap(_clip_spikes, [(texts[i], path, n) for i, path, n in aligned], chunksize=64)
    out = {i: AlignedClip(clips[i], spiked) for (i, _, _), spiked in zip(aligned, where, strict=True) if spiked}
    print(f"{len(out)} clips aligned, {len(clips) - len(out)} do not fit their text", flush=True)
    return [out[i] for i in sorted(out)]


def alignment_errors(aligner: Aligner, clips: Sequence[AlignedClip], batch: int) -> dict[str, float]:
    """Return three measures of how well the frames say the tokens.

    `token_error` is the edit distance between the tokens that the frames say and those that were said, per token.
    `spikes_right` is the share of the frames with a token that are nearest to its embedding. `distance` is their mean
    distance to it, divided by the mean length of an embedding (a frame of zeros has about 1).
    """
    aligner.eval()
    device = aligner.embeddings.device
    wrong = right = total = 0
    distance = 0.0
    for start in range(0, len(clips), batch):
        group = clips[start : start + batch]
        with torch.no_grad():
            frames, counts = aligner.encoder(*pad_frames([a.clip.lower_features() for a in group], device))
        distance += float(aligner.distances(frames, [a.spikes for a in group]).sum())
        for one, path in zip(group, aligner.best_classes(frames, counts), strict=True):
            wrong += Levenshtein.distance(ctc_collapse(path), [token for _, token in one.spikes])
            right += sum(path[frame] == token for frame, token in one.spikes)
            total += len(one.spikes)
    aligner.train()
    shares = {"token_error": wrong, "spikes_right": right, "distance": distance}
    return {name: round(value / max(1, total), 4) for name, value in shares.items()}


def train_tokens(
    aligner: Aligner,
    trained: list[nn.Parameter],
    clips: Sequence[AlignedClip],
    held: Sequence[AlignedClip],
    options: argparse.Namespace,
    save: Any,
) -> list[dict[str, float]]:
    """Train for `options.minutes` minutes and return the log. `save()` is called at each of its lines."""
    device = aligner.embeddings.device
    draw = random.Random(options.seed)
    optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0.01)
    log: list[dict[str, float]] = []
    began, step, recent = time.monotonic(), 0, 0.0
    while (share := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        order = sorted(clips, key=lambda a: (a.clip.record.duration_s or 0) * draw.uniform(0.8, 1.25))
        groups = [order[i : i + options.batch_size] for i in range(0, len(order), options.batch_size)]
        draw.shuffle(groups)
        for group in groups:
            share = (time.monotonic() - began) / (60 * options.minutes)
            if share >= 1:
                break
            step += 1
            rise = min(1.0, step / options.warmup_steps)
            rate = options.learning_rate * rise * max(0.02, 0.5 * (1 + math.cos(math.pi * share)))
            for setting in optimizer.param_groups:
                setting["lr"] = rate
            hidden, lengths = pad_frames([a.clip.lower_features() for a in group], device)
            with autocast(options.precision, device):
                loss = aligner(hidden, lengths, [a.spikes for a in group], options.blanks, options.pull)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            recent = float(loss.detach()) if step == 1 else 0.95 * recent + 0.05 * float(loss.detach())
            if step % options.logging_steps == 0:
                minutes = round((time.monotonic() - began) / 60, 2)
                log.append({"step": step, "minutes": minutes, "loss": round(recent, 4)})
                if held:
                    log[-1] |= alignment_errors(aligner, held[: options.eval_clips], options.batch_size)
                print(json.dumps(log[-1]), flush=True)
                save()
    log.append({"step": step, "minutes": options.minutes, "loss": round(recent, 4)})
    if held:
        log[-1] |= alignment_errors(aligner, held, options.batch_size)
    print(json.dumps(log[-1]), flush=True)
    save()
    return log


def run(options: argparse.Namespace) -> int:
    """Run the `align` command: write the adapter, the log and the token ids of the classes into `--out`."""
    torch.manual_seed(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    extractor = WhisperFeatureExtractor.from_pretrained(options.base)
    records = clips_in_one_window(read_records(*options.data))
    held = clips_in_one_window(read_records(*options.eval_data)) if options.eval_data else []
    if not records:
        raise ValueError("no clip is left to align")
    run_record.write_run_record(options)
    texts = spoken_words([r.transcript for r in [*records, *held]])
    single = letter_token_ids(tokenizer) if options.spell_below else {}
    classes = class_token_ids(tokenizer, texts[: len(records)], options.classes, options.spell_below)
    model = open_model(options.base).to(device)
    embeddings = model.get_input_embeddings().weight.detach()[classes].clone()
    encoder = SplitEncoder(model, options.layers)
    folder = None if options.in_memory else options.feature_cache or options.out / "features"
    how = {
        "batch": max(8, options.batch_size),
        "precision_choice": options.precision,
        "workers": options.dataloader_num_workers,
    }
    clips = encode_clips(encoder, [*records, *held], extractor, folder, **how)
    print("encoded", flush=True)
    head = CharacterHead(clips[0].top_features().shape[1]).to(device)
    loss = train_head(head, clips[: len(records)], texts[: len(records)], options.character_minutes, seed=options.seed)
    print(json.dumps({"character_loss": round(loss, 4), "classes": len(classes)}), flush=True)
    aligned = align_clips(head, clips[: len(records)], texts[: len(records)], tokenizer, classes, single)
    if not aligned:
        raise ValueError("no clip fits its text: nothing is left to train on")
    held_aligned = align_clips(head, clips[len(records) :], texts[len(records) :], tokenizer, classes, single)
    peft_model = get_peft_model(
        model, encoder_lora(encoder.first_trained_layer, len(encoder.tower.layers), options.lora_rank)
    )
    for name, parameter in peft_model.named_parameters():
        if "multi_modal_projector" in name:
            parameter.requires_grad_(True)
    if options.start:
        print(f"started from {options.start}: {load_adapter(peft_model, options.start)} tensors", flush=True)
    if options.max_minutes:
        options.minutes = max(0.01, options.max_minutes - process_clock.seconds_since_process_start() / 60)
    aligner = Aligner(SplitEncoder(peft_model, options.layers), embeddings, options.sharpness).to(device)
    trained = [p for p in peft_model.parameters() if p.requires_grad]
    file = options.out / "adapter.safetensors"
    log = train_tokens(
        aligner, trained, aligned, held_aligned, options, lambda: save_adapter(adapter_tensors(peft_model), file)
    )
    (options.out / "log.json").write_text(
        json.dumps([{"character_loss": round(loss, 4), "clips": len(aligned), "classes": len(classes)}, *log], indent=1)
        + "\n"
    )
    (options.out / "classes.json").write_text(json.dumps(classes) + "\n")
    print(file)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's options."""

    def add(*names: str, **settings: Any) -> None:
        add_option(parser, *names, **settings)

    add("--base", type=Path, required=True, help="Assembled audio checkpoint to start from.")
    add("--data", type=Path, nargs="+", required=True, help="JSONL files of spoken records.")
    add("--eval-data", "--held", type=Path, nargs="*", default=[], help="JSONL files of records to measure errors on.")
    what = "Clips of these that are measured at each line of the log. All of them are measured at the end."
    add("--eval-clips", "--held-clips", type=int, default=32, help=what)
    add("--out", type=Path, required=True, help="Folder for the adapter and the log.")
    what = "Folder for the output of the encoder's lower layers [OUT/features]."
    add("--feature-cache", "--features", type=Path, help=what)
    what = "Keep that output in the memory of the device instead: a megabyte for a clip of 13 s."
    add("--in-memory", action="store_true", help=what)
    what = "Processes that compute mel frames, so that a GPU need not wait for audio."
    add("--dataloader-num-workers", "--workers", type=int, default=0, help=what)
    add("--layers", type=int, default=2, help="How many of the encoder's last layers learn.")
    add("--character-minutes", type=float, default=3, help="Minutes to train the character head for.")
    add("--minutes", type=float, default=30, help="Minutes to train the tokens for.")
    what = "Minutes the whole command may take, from its start. They replace --minutes; 0 sets no limit."
    add("--max-minutes", "--within", type=float, default=0.0, help=what)
    add("--batch-size", "--batch", type=int, default=4, help="Clips in a step.")
    add("--learning-rate", "--rate", type=float, default=1e-3, help="Peak learning rate.")
    add("--warmup-steps", "--warmup", type=int, default=50, help="Steps in which the learning rate rises to its peak.")
    add("--lora-rank", "--rank", type=int, default=64, help="Rank of the LoRA matrices on the encoder.")
    add("--classes", type=int, default=4000, help="Tokens of the vocabulary that is learned, with the blank.")
    what = "Words that occur less often than this in the data are learned letter by letter, and so are words that are "
    what += "not in the data. 0 spells no word."
    add("--spell-below", type=int, default=0, help=what)
    what = "Silent frames that are trained on, for each frame that says a token."
    add("--blanks", type=float, default=2.0, help=what)
    add("--sharpness", type=float, default=4.0, help="Factor on the scores before the softmax.")
    add("--pull", type=float, default=0.5, help="Weight of the squared distance to the right token's embedding.")
    add("--start", type=Path, help="Adapter of an earlier run to continue from.")
    add("--logging-steps", "--log-every", type=int, default=100, help="Steps between two lines of the log.")
    add_precision_argument(parser)
    add("--seed", type=int, default=0, help="Seed of the order of the clips and of new weights.")
