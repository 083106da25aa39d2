"""A GGUF file as a plain model: weights dequantised by transformers, tokenizer and chat template from its metadata.

Entry points: `about_gguf` reads the metadata, `load_gguf` model and tokenizer. Needs the extra `gguf`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, modeling_gguf_pytorch_utils

from reckon.errors import CheckpointError, MissingExtraError
from reckon.models.precision import DType

MAGIC = b"GGUF"
NAME_IN_CONFIG = "_model_name_or_path"  # the file's own title, which is no path
UNREADABLE = (OSError, ValueError, KeyError, IndexError, NotImplementedError, RuntimeError, SafetensorError)


@dataclass(frozen=True, slots=True)
class AboutGGUF:
    """What a GGUF file says of itself."""

    architecture: str
    name: str | None
    licence: str | None
    parameters: int


def about_gguf(path: Path) -> AboutGGUF:
    """Read the metadata of a GGUF file.

    Raises:
        MissingExtraError: the package gguf is not installed.
        CheckpointError: the file is missing, no GGUF file, or cut off.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingExtraError("gguf", "gguf", "reading a GGUF file") from None
    fix = "give a whole GGUF file, version 2 or 3"
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", fix) from None
    if magic != MAGIC:
        raise CheckpointError(path, "is no GGUF file", fix)
    try:
        reader = GGUFReader(path)
        about = {key: reader.fields[f"general.{key}"].contents() for key in ABOUT if f"general.{key}" in reader.fields}
    except (OSError, ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        problem = f"is cut off or damaged ({_first_line(error)})"
        raise CheckpointError(path, problem, "download it again") from None
    if "architecture" not in about:
        raise CheckpointError(path, "names no architecture (general.architecture)", fix)
    parameters = sum(int(tensor.n_elements) for tensor in reader.tensors)
    return AboutGGUF(about["architecture"], about.get("name"), about.get("license"), parameters)


ABOUT = ("architecture", "name", "license")  # keys under `general.`


def load_gguf(path: Path, about: AboutGGUF, dtype: DType) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model and tokenizer of a GGUF file, on the CPU; the model is plain, as if it had never been quantised.

    Raises:
        CheckpointError: transformers cannot dequantise the architecture, or the file lacks weights.
    """
    from transformers import GgufConfig  # newer than what Reckon needs elsewhere; the extra asks for it

    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        with _no_bar():
            read: Any = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype=getattr(torch, dtype),
                quantization_config=GgufConfig(dequantize=True),
                trust_remote_code=False,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        raise CheckpointError(
            path,
            f"cannot be dequantised by transformers, architecture {about.architecture!r} ({_first_line(error)})",
            "use a Llama, Qwen, Gemma, Mistral, Phi 3 or another family of docs/models.md",
        ) from error
    model, loaded = read
    if missing := sorted(loaded["missing_keys"]):
        # transformers gives absent weights random values
        problem = f"lacks {len(missing)} of the model's weights ({missing[0]})"
        raise CheckpointError(path, problem, "use a GGUF file of the whole model")
    # With its quantisation config a model can be neither saved nor trained, though its weights are plain now. The newer
    # of transformers' two readers leaves it there.
    if (quantizer := getattr(model, "hf_quantizer", None)) is not None:
        quantizer.remove_quantization_config(model)
    if hasattr(model.config, NAME_IN_CONFIG):
        delattr(model.config, NAME_IN_CONFIG)
    return model, tokenizer


@contextmanager
def _no_bar() -> Iterator[None]:
    """transformers draws a bar of its own while it dequantises, in pipes too."""
    reader: Any = modeling_gguf_pytorch_utils
    bar = reader.tqdm
    reader.tqdm = lambda tensors, **_: tensors
    try:
        yield
    finally:
        reader.tqdm = bar


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
