"""Base weights where no package index is reached, out of the parts that travelled.

    python -m training.gpu.base cut FILE.pt OUT.pt                                here: Whisper's encoder alone
    python -m training.gpu.base build PARTS audioflamingo3 FOLDER [ADAPTER …]     there: as `export --folder-only`

`model_repo.parts` asks for the whole Whisper file, of which four fifths are a decoder that nothing here uses. The cut
file holds the same encoder tensors bit for bit (checked when it is cut), and travels under the digest its packer took.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from model_repo import whisper_encoder
from model_repo.architectures import BUILDERS, Base
from model_repo.assemble import merged, write
from training.checkpoint import SCALE
from training.export import PARTS, overlaid


def cut(whole: Path, out: Path) -> None:
    """Write the encoder's tensors of OpenAI's `.pt` file as such a file. Raises ValueError if they read differently."""
    state = torch.load(whole, map_location="cpu", weights_only=True)["model_state_dict"]
    encoder = {name: value.clone() for name, value in state.items() if name.startswith("encoder.")}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": encoder}, out)
    before, after = whisper_encoder.tensors(whole), whisper_encoder.tensors(out)
    if not after or before.keys() != after.keys() or not all(np.array_equal(before[k], after[k]) for k in before):
        raise ValueError(f"{out} does not hold the encoder of {whole}")


def build(parts: Path, architecture: str, folder: Path, adapters: list[Path]) -> Path:
    """Write the base, with the adapters merged, as a loadable checkpoint. parts: a folder a part, one file in each."""
    base = BUILDERS[architecture]({name: parts / name for name in PARTS[architecture]})
    folder.mkdir(parents=True, exist_ok=True)
    write(Base(merged(base.tensors, overlaid(adapters), SCALE), base.files), folder)
    return folder


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gpu.base", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    cutting = commands.add_parser("cut", help="Whisper's encoder alone")
    cutting.add_argument("whole", type=Path)
    cutting.add_argument("out", type=Path)
    building = commands.add_parser("build", help="a loadable checkpoint")
    building.add_argument("parts", type=Path)
    building.add_argument("architecture", choices=sorted(PARTS))
    building.add_argument("folder", type=Path)
    building.add_argument("adapter", type=Path, nargs="*")
    options = parser.parse_args(argv)
    if options.command == "cut":
        cut(options.whole, options.out)
    else:
        print(build(options.parts, options.architecture, options.folder, options.adapter))
    return 0


if __name__ == "__main__":
    sys.exit(main())
