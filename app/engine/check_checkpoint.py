"""Check that vLLM can serve a checkpoint: load it, let it write a few tokens, and print them.

    python -m app.engine.check_checkpoint FOLDER [--text-only]

The training pipeline runs this command before it writes a manifest, because it imports nothing of the service but
`app.core`. The exit status is 0 if the checkpoint wrote at least one token.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import numpy as np

from app.core.prompts import Style, audio_messages, instruction, transcript_messages
from app.engine.base import GenerationFinished
from app.engine.chat_request import SamplingOptions
from app.engine.vllm_in_process import VllmChatModel
from app.settings import EngineSettings
from model_repo.architectures import CONTEXT_TOKENS

ANSWER_TOKENS = 8


async def first_tokens(folder: Path, *, text_only: bool) -> str:
    """Return what vLLM writes first for one second of a 253 Hz tone, or for a transcript of one line.

    text_only: the checkpoint is a text model, such as a cascade's, and takes no audio.

    Raises:
        Unavailable: vLLM could not load the checkpoint.
        RuntimeError: vLLM wrote no token.
    """
    model = VllmChatModel(folder, CONTEXT_TOKENS, EngineSettings(max_num_seqs=2), audio=not text_only)
    await model.start()
    try:
        request_text = instruction(Style())
        messages = (
            transcript_messages(request_text, "Hello, call me back.") if text_only else audio_messages(request_text)
        )
        tone = None if text_only else np.sin(np.arange(16_000) * 0.1).astype(np.float32)
        events = [
            event async for event in model.stream(messages, SamplingOptions(ANSWER_TOKENS), "check-checkpoint", tone)
        ]
    finally:
        await model.stop()
    last = events[-1] if events else None
    if not isinstance(last, GenerationFinished) or not last.completion_tokens:
        raise RuntimeError(f"vLLM loaded {folder} but wrote no token.")
    return "".join(getattr(event, "text", "") for event in events)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m app.engine.check_checkpoint", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="Folder of an assembled checkpoint.")
    parser.add_argument("--text-only", action="store_true", help="The checkpoint is a text model and takes no audio.")
    options = parser.parse_args()
    print(asyncio.run(first_tokens(options.folder, text_only=options.text_only)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
