"""Writes `speechsum.d.ts`, the types of the service's API, from its OpenAPI document with openapi-typescript.

    make client-types                           in the repository's folder

It imports the service, so it runs in the repository's environment; `--packages` names the folder `node_modules`.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from app.engine.scripted import ScriptedEngine
from app.main import create_app
from app.settings import Settings

FOLDER = Path(__file__).parent
TYPES = FOLDER / "speechsum.d.ts"
HEAD = "// Written by write_types.py from the service's OpenAPI document: `make client-types` writes it again.\n"


def generate_types(packages: Path) -> str:
    """Return the text of `speechsum.d.ts`. packages: the folder `node_modules`.

    Raises subprocess.CalledProcessError if openapi-typescript fails.
    """
    # By `model_validate` nothing of the environment reaches the settings.
    settings = Settings.model_validate({"model_repo": Path("/nonexistent")})
    with tempfile.TemporaryDirectory() as folder:
        document, types = Path(folder) / "openapi.json", Path(folder) / "speechsum.d.ts"
        document.write_text(json.dumps(create_app(settings, ScriptedEngine()).openapi()))
        command = [str(packages / ".bin" / "openapi-typescript"), str(document), "--output", str(types)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return HEAD + types.read_text()


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=FOLDER / "node_modules")
    TYPES.write_text(generate_types(parser.parse_args().packages))


if __name__ == "__main__":
    main()
