"""Folders that many tests need alike: made once per process, then copied."""

import functools
import inspect
import shutil
import tempfile
from pathlib import Path

import torch


def made_once(make):
    """Decorate `make(path, ...)`, which fills a folder: further calls with the same arguments copy the first one's."""
    made, names = {}, inspect.signature(make)

    @functools.wraps(make)
    def copied(path, *arguments, **options):
        call = names.bind(path, *arguments, **options)
        call.apply_defaults()
        key = repr({name: value for name, value in call.arguments.items() if name != "path"})
        if key not in made:
            folder = tempfile.TemporaryDirectory(prefix="made-once-")  # removed with the process
            with torch.random.fork_rng(devices=[]):  # the first call must not seed what the others do not
                make(Path(folder.name) / "folder", *arguments, **options)
            made[key] = folder
        shutil.copytree(Path(made[key].name) / "folder", path, dirs_exist_ok=True)
        return path

    return copied
