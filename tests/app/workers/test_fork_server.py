"""Every kind of worker process comes from one fork server, which has imported what they need."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCHEMA_FIRST = """
import asyncio, sys

with open(sys.argv[1], "a") as imports:
    imports.write(__name__ + chr(10))

async def main():
    from app.core.audio.limits import DecodeLimits
    from app.workers.decoder_pool import DecoderPool
    from app.core.audio.samples import create_unnamed_file
    from app.summarize.structured.schema_workers import SchemaWorkers
    from tests.recordings import speech_wav

    schemas, decoder = SchemaWorkers(), DecoderPool(1, memory_bytes=64 << 20)
    await schemas.check_schema({"type": "object", "properties": {"a": {"type": "string"}}}, "json_schema")
    await decoder.start()
    print((await decoder.decode(create_unnamed_file(speech_wav()), DecodeLimits())).seconds)
    await decoder.stop()
    await schemas.stop()

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_decoder_has_what_it_needs_although_another_kind_of_worker_came_first(tmp_path: Path) -> None:
    """If NumPy were imported after the memory limit is set, its libraries alone would exceed this worker's limit. No
    worker imports the program itself, which may be a large one.
    """
    script, imports = tmp_path / "script.py", tmp_path / "imports.txt"
    script.write_text(SCHEMA_FIRST)
    done = subprocess.run(
        [sys.executable, str(script), str(imports)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 1
    assert imports.read_text() == "__main__\n"
