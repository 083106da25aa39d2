"""What this machine can run: versions, devices, and the optional packages that are missing.

Entry point: `examine`. Memory for a given model is `reckon.memory.estimate_memory`.
"""

import os
import platform
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import reckon

PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors", "numpy", "pyarrow", "duckdb")


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional set of packages, as `pip install 'reckon-recsys[name]'` takes it."""

    name: str
    modules: tuple[str, ...]
    """Import names; the extra is there when all of them are."""
    purpose: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that cannot be imported; looked up, not imported, since some take seconds."""
        return tuple(module for module in self.modules if util.find_spec(module) is None)


# A test holds these names equal to the extras of pyproject.toml.
EXTRAS = (
    Extra("postgres", ("psycopg",), "reading tables from a PostgreSQL server"),
    Extra("baselines", ("surprise",), "matrix factorization among the rating baselines"),
    Extra("recone", ("openai", "trl"), "RecOne: a teacher's traces, and fine-tuning on them"),
    Extra("encoders", ("sentence_transformers",), "a sentence encoder of sentence-transformers in RPORec's Rechead"),
    Extra("gguf", ("gguf",), "`reckon backbone import` of GGUF files and of smollm2"),
    Extra("serve", ("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client"), "the HTTP service"),
    Extra("tensorboard", ("tensorboard",), "training curves in TensorBoard"),
    Extra("dev", ("pytest", "xdist", "hypothesis", "ruff", "mypy", "trl"), "tests, lint and the TRL comparison"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that tensors live on."""

    name: str
    memory: int | None
    """Bytes in all; None where the system does not say."""
    free: int | None
    """Bytes free now."""
    bfloat16: bool
    """Whether it computes faster in bfloat16 than in float32."""

    @property
    def dtype(self) -> str:
        """What `training.dtype: auto` means here for weights under adapters."""
        return "bfloat16" if self.bfloat16 else "float32"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `reckon doctor` prints."""

    versions: dict[str, str | None]
    """Package to version; None where it is not installed."""
    devices: list[Device]
    extras: tuple[Extra, ...]


def examine() -> Diagnosis:
    """Look at this machine and this Python environment."""
    versions: dict[str, str | None] = {"reckon": reckon.__version__, "python": platform.python_version()}
    versions |= {package: _version(package) for package in PACKAGES}
    return Diagnosis(versions=versions, devices=[*_accelerators(), _cpu()], extras=EXTRAS)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _accelerators() -> list[Device]:
    import torch

    from reckon.models.precision import computes_bfloat16

    devices = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = f"cuda:{index} {torch.cuda.get_device_name(index)}"
        devices.append(Device(name, total, free, computes_bfloat16(torch.device("cuda", index))))
    if torch.backends.mps.is_available():
        devices.append(Device("mps Apple GPU", None, None, computes_bfloat16(torch.device("mps"))))
    return devices


def _cpu() -> Device:
    import torch

    from reckon.models.precision import computes_bfloat16

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    total, free = _system_memory()
    name = f"cpu {platform.machine()}, {cores} cores, {torch.get_num_threads()} torch threads"
    return Device(name, total, free, computes_bfloat16(torch.device("cpu")))


def _system_memory() -> tuple[int | None, int | None]:
    """Total and available bytes: of the machine, or of the container where that has less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None, None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total, free = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return total, free
    return min(total, limit), min(free, limit)
