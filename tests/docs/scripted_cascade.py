"""The command `speechsum` with a scripted model that has a transcript, as a cascade has: the pages' blocks ask for it.

It imports almost nothing, because every decoding worker imports the main module.
"""

import sys


def main() -> int:
    """Run one command; see `app.cli.main`."""
    from dataclasses import replace
    from functools import partial

    from app.__main__ import main as run_command
    from app.core.asr.confidence import Recognition
    from app.core.asr.transcript import TranscriptSegment
    from app.engine.scripted import ScriptedEngine
    from app.models import model_source

    segments = (
        TranscriptSegment(0.0, 1.2, "This is Anna.", -0.2, 1.1, 0.01),
        TranscriptSegment(1.2, 2.0, "Please call me back.", -0.2, 1.1, 0.01),
    )
    heard = " ".join(one.text for one in segments)
    recognition = Recognition("en", 0.99, -0.2)
    engine = partial(ScriptedEngine, keep_requests=False, transcript=heard, recognition=recognition, segments=segments)
    model_source.SCRIPTED_MODEL = replace(model_source.SCRIPTED_MODEL, kind="cascade")
    setattr(model_source, "ScriptedEngine", engine)  # noqa: B010  (mypy takes the name for a type)
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
