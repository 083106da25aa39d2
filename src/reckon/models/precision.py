"""In which precision a model computes: the setting `dtype`, and what it means on a machine.

Entry points: `Precision`, the setting; `settled` makes a dtype of it; `computes_bfloat16` says what a device is good
at. Weights in bfloat16 stay frozen, under adapters in float32: a step of 1e-5 of a weight is below their resolution.
Log-probabilities, scores and metrics are computed in float32 in either precision.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import torch

DType = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]
BYTES: dict[DType, int] = {"float32": 4, "bfloat16": 2}
AMX = "amx_bf16"  # matrix units of a CPU: with them bfloat16 is several times as fast as float32, else slower


def settled(precision: Precision, *, adapters: bool, device: torch.device) -> DType:
    """The dtype of the weights on a device.

    Args:
        precision: the setting; `auto` is bfloat16 where only adapters train and the device computes in it.
        adapters: whether adapters train in place of the weights.
        device: where the model runs.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if adapters and computes_bfloat16(device) else "float32"


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies matrices faster in bfloat16 than in float32."""
    if device.type == "cpu":
        return AMX in cpu_flags()
    if device.type == "cuda":
        # Compute capability 8 (Ampere) brought bfloat16; torch's own check also counts emulation.
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "mps"


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of the CPU as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split())
