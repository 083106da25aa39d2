"""The folder of a causal language model: written with its checksums, read as it was written or refused.

Entry points: `save_model`; `check_model`, `load_tokenizer` and `load_model`, the parts of `load_backbone`;
`weights_fingerprint`. No code of a folder is ever run, and no tensor that a folder lacks is made up.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from reckon.checksums import CHECKSUMS_FILE, check_files, is_checking, write_checksums
from reckon.errors import CheckpointError, ReckonError, of_the_system
from reckon.identity import ADAPTERS_FILE
from reckon.json_file import COPY_AGAIN, read_json
from reckon.messages import listed
from reckon.models.precision import DType

NO_MODEL = "cannot be loaded as a causal language model"
CHAT_TEMPLATES = "additional_chat_templates"  # folder of a tokenizer that has several
FIX = "give a hub id or a folder with config.json, weights and tokenizer"


def save_model(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, **options: Any) -> None:
    """Write weights, tokenizer and, last, the checksums of all files of the folder.

    Args:
        model: a PreTrainedModel, or a PeftModel, of which the adapters are written.
        tokenizer: its tokenizer.
        folder: where to write; what else is there gets a checksum, too.
        options: of the model's `save_pretrained`.
    """
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    base = base_of_adapters(folder)
    names = [path.name for path in folder.iterdir() if path.is_file() or path.name == CHAT_TEMPLATES]
    write_checksums(folder, names, beside=Path(base) if base is not None and Path(base).is_dir() else None)


def check_model(folder: Path) -> None:
    """Refuse a folder that Reckon wrote, if a file is not as it was written. Other folders have no checksums."""
    if (folder / CHECKSUMS_FILE).exists():
        check_files(folder, closed=True)


def base_of_adapters(path: Path) -> str | None:
    """The model that a folder's adapters belong to; None where it holds a whole model."""
    file = path / ADAPTERS_FILE
    if not file.exists():
        return None
    base: str = read_json(file, {"base_model_name_or_path": str})["base_model_name_or_path"]
    return base


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id. Raises CheckpointError where it cannot be loaded."""
    with library_errors(path, NO_MODEL, FIX):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        special = set(tokenizer.all_special_ids)
        if len(tokenizer) <= len(special):  # transformers makes such a one where files are missing
            raise CheckpointError(path, "its tokenizer has no tokens besides its special ones", COPY_AGAIN)
        if not isinstance(tokenizer.model_max_length, int | float):
            raise CheckpointError(path, "its tokenizer's model_max_length is no number", COPY_AGAIN)
        return tokenizer


def load_model(path: str | Path, base: str | None, dtype: DType) -> Any:
    """The model of a folder or hub id: a PreTrainedModel, or a PeftModel for adapters of `base`.

    Raises:
        CheckpointError: it cannot be loaded, or has other tensors than its configuration says.
    """
    if base is None:
        with library_errors(path, NO_MODEL, FIX):
            return _whole_model(path, dtype)
    if Path(base).is_dir():
        check_model(Path(base))
    fix = "put that model back, or set base_model_name_or_path in adapter_config.json and load it with --no-verify"
    with library_errors(path, f"holds adapters of {base}, which cannot be loaded", fix):
        model = _whole_model(base, dtype)
    with library_errors(path, f"cannot be loaded as adapters of {base}", COPY_AGAIN):
        return _with_adapters(model, Path(path))


def _whole_model(path: str | Path, dtype: DType) -> Any:
    """Weights of a family that transformers itself knows; False, so that nobody is asked on the terminal."""
    model: Any
    found: dict[str, set[str]]
    load: Any = AutoModelForCausalLM.from_pretrained
    model, found = load(path, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True)
    _refuse_other_tensors(path, found["missing_keys"], found["unexpected_keys"])
    return model


def _with_adapters(model: Any, path: Path) -> Any:
    from peft import PeftModel
    from peft.utils import SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict
    from safetensors import safe_open

    with no_future_warnings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # they are refused below
        model = PeftModel.from_pretrained(model, path, is_trainable=True)
    if (path / SAFETENSORS_WEIGHTS_NAME).exists():
        with safe_open(path / SAFETENSORS_WEIGHTS_NAME, framework="pt") as file:
            stored = set(file.keys())
        wanted = set(get_peft_model_state_dict(model))
        _refuse_other_tensors(path, wanted - stored, stored - wanted)
    return model


def _refuse_other_tensors(path: object, missing: set[str], unexpected: set[str]) -> None:
    """Refuse weights with a tensor too few, which would start at random, or too many, which would be left out.

    `--no-verify` accepts those too many.
    """
    if missing:
        raise CheckpointError(path, f"its weights lack {listed(sorted(missing), 2)}", COPY_AGAIN)
    if unexpected and is_checking():
        fix = f"{COPY_AGAIN}, or leave them out with --no-verify (verify=False in Python)"
        raise CheckpointError(path, f"its weights hold {listed(sorted(unexpected), 2)}, which is not of the model", fix)


def weights_fingerprint(weights: Iterable[tuple[str, Tensor]]) -> str:
    """12 hex digits of the sha256 of names, shapes, types and every value, in the order given."""
    digest = hashlib.sha256()
    for name, weight in weights:
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
        digest.update(weight.detach().flatten().contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


@contextmanager
def library_errors(path: object, problem: str, fix: str) -> Iterator[None]:
    """Whatever a library raises on a damaged folder, as one line; what the system refuses stays.

    Args:
        path: the folder or hub id.
        problem: what is wrong, before what the library says.
        fix: what the error tells to do.
    """
    try:
        yield
    except ReckonError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise foreign_code(path) from error
        if of_the_system(error) is not None:
            raise
        raise CheckpointError(path, f"{problem} ({first_line(error)})", fix) from error


def foreign_code(path: object) -> CheckpointError:
    """The error about a model that needs code of its own."""
    return CheckpointError(
        path,
        "needs code of its own (trust_remote_code), which Reckon does not run",
        "use a family that transformers itself knows (docs/models.md)",
    )


def first_line(error: Exception) -> str:
    """First line of a library's message, with the error's class where the message alone says little."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    return first if " " in first else f"{type(error).__name__}: {first}".rstrip(": ")


@contextmanager
def no_future_warnings() -> Iterator[None]:
    """PEFT and we call what transformers renames in its next major version: nothing a user could change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
