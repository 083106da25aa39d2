"""Training runs in one process: several would each train a model of their own and write into one directory.

Entry point: `require_one_process`, called before anything is loaded or written.
"""

import os

import torch

from reckon.errors import ConfigError

RULE = "training runs in one process; several would each train a model of their own"
FIX = "start it with `reckon` or `python`, without torchrun or accelerate launch, or unset WORLD_SIZE"


def require_one_process() -> None:
    """Refuse a launch of several processes (torchrun, accelerate launch, an initialised process group).

    Raises:
        ConfigError: WORLD_SIZE is not 1, or the process group has more than one member.
    """
    size = os.environ.get("WORLD_SIZE", "").strip()
    if size not in ("", "1"):
        raise ConfigError("WORLD_SIZE", int(size) if size.isdecimal() else size, RULE, FIX)
    group = torch.distributed
    if group.is_available() and group.is_initialized() and group.get_world_size() > 1:
        raise ConfigError("torch.distributed", f"{group.get_world_size()} processes", RULE, FIX)
