"""A tiny data set, backbone and settings for R2ec, built in code: what the tests of methods run on."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import torch

from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.config import HeadConfig, R2ecConfig, R2ecTrainingConfig, RecPOConfig
from reckon.methods.r2ec.trainer import fit
from reckon.models.backbone import LoraSettings
from reckon.prompts.style import PromptConfig
from reckon.rollout import SamplingConfig
from support.made_once import made_once
from support.tiny import model, tokenizer

TITLES = (
    "The Quiet Harbour",
    "The Black Tide",
    "Calm Sea",
    "Dark Crime",
    "Next Book",
    "The Red Book",
    "Sea Crime",
    "Quiet Tide",
    "Black Harbour",
    "The Calm",
    "A Dark Tide",
    "The Next Sea",
)
DAY = 86_400


def dataset(path, users=16, length=6, step=1):
    """Users walk along the shelf in steps of `step`, so the last item tells the next; leave-one-out."""
    return Dataset.load(_written(path, users, length, step))


@made_once
def _written(path, users, length, step):
    ids = [f"b{number:02d}" for number in range(len(TITLES))]
    items = pa.table({"item_id": ids, "title": list(TITLES), "genre": ["sea", "crime", "calm"] * (len(TITLES) // 3)})
    events = [
        (f"u{user:02d}", ids[(user + step * n) % len(ids)], (user + n) * DAY)
        for user in range(users)
        for n in range(length)
    ]
    columns = zip(("user_id", "item_id", "timestamp"), zip(*events, strict=True), strict=True)
    write_dataset(
        path,
        items,
        pa.table({name: list(values) for name, values in columns}),
        source={"name": "shelf"},
        split="leave-one-out",
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
    )


@made_once
def backbone_folder(path, family="qwen2", spread=3.0, seed=0):
    """A tiny random model with its tokenizer, as a Hugging Face folder."""
    model(family, seed=seed, spread=spread, **({} if family == "gemma3" else {"num_hidden_layers": 1})).save_pretrained(
        path
    )
    tokenizer().save_pretrained(path)
    return path


def settings(arm="full", seed=0, head=None, recpo=None, prompt=None, rollout=None, lora=0, **training):
    """Settings under which a step takes milliseconds."""
    training = {
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "batch_size": 4,
        "micro_batch_size": 4,
        "max_steps": 6,
        "eval_steps": 2,
        "validation_size": 8,
        "patience_steps": 100,
        "dtype": "float32",  # expected values must not hang on the machine
    } | training
    base = R2ecConfig(
        arm=arm,
        seed=seed,
        prompt=PromptConfig(style="compact", window=3, title_words=4, item_words=8),
        head=HeadConfig(tau=0.1),
        lora=LoraSettings(r=lora),
        rollout=SamplingConfig(temperature=1.0, max_completion_length=5),
        recpo=RecPOConfig(num_generations=3),
        training=R2ecTrainingConfig(**training),
    )
    changes = {"head": head, "recpo": recpo, "prompt": prompt, "rollout": rollout}
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in changes.items() if values})


def recommender(path, arm="full", family="qwen2", **changes):
    """An untrained R2ec and its data set, under `path`."""
    data = dataset(path / "data")
    return R2ec.from_backbone(backbone_folder(path / "backbone", family), data, settings(arm, **changes)), data


def train(path, out, *callbacks, resume=False, **changes):
    """Train a fresh recommender, the same start every time, into `path / out`."""
    changes = {"batch_size": 16, "micro_batch_size": 16} | changes  # 3 steps are an epoch
    torch.manual_seed(0)  # adapters start at random
    model, data = recommender(Path(tempfile.mkdtemp(dir=path)), **changes)
    fit(model, data, path / out, resume=resume, progress=False, callbacks=callbacks)
    return model
