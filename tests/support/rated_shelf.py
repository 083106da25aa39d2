"""A tiny rated data set, backbone and settings for RecZero, built in code: what the tests of ratings run on."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.data.ratings import Scale
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.config import RatingPromptConfig, RecZeroConfig
from reckon.methods.reczero.model import RatedExamples
from reckon.models.backbone import LoraSettings
from reckon.prompts.rating_reply import parse_rating
from reckon.rl.grpo import GRPOSettings
from reckon.rollout import SamplingConfig
from reckon.training.config import TrainingConfig
from support.made_once import made_once
from support.shelf import TITLES, backbone_folder

DAY = 86_400
SCALE = Scale(1, 5, 1)


def dataset(path, users=16, length=6, shift=0):
    """Users rate the books of the shelf one a day, 1 to 5 stars in a pattern; leave-one-out, so `users` test rows."""
    return Dataset.load(_written(path, users, length, shift))


@made_once
def _written(path, users, length, shift):
    ids = [f"b{number:02d}" for number in range(len(TITLES))]
    events = [
        (
            f"u{user:02d}",
            ids[(user + n) % len(ids)],
            (user + n) * DAY,
            float((user * 3 + n * 2 + shift) % 5 + 1),
            f"Note {n}",
            f"it was <b>calm</b> & read by {user}",
        )
        for user in range(users)
        for n in range(length)
    ]
    names = ("user_id", "item_id", "timestamp", "rating", "summary", "review")
    write_dataset(
        path,
        pa.table({"item_id": ids, "title": list(TITLES)}),
        pa.table({name: list(column) for name, column in zip(names, zip(*events, strict=True), strict=True)}),
        source={"name": "rated shelf"},
        split="leave-one-out",
        words={"item": "book", "items": "books", "action": "rated"},
        tie_rule="none",
        rating_scale=SCALE,
    )


def settings(arm="full", seed=0, lora=0, grpo=None, prompt=None, **training):
    """Settings under which a step takes milliseconds."""
    training = {
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "batch_size": 4,
        "micro_batch_size": 4,
        "max_steps": 2,
        "eval_steps": 1,
        "validation_size": 8,
        "patience_steps": 100,
        "dtype": "float32",  # expected values must not hang on the machine
    } | training
    base = RecZeroConfig(
        arm=arm,
        seed=seed,
        prompt=RatingPromptConfig(
            style="compact", window=3, item_window=3, title_words=4, review_words=3, item_words=0, max_tokens=200
        ),
        rollout=SamplingConfig(max_completion_length=6),
        grpo=GRPOSettings(num_generations=3),
        lora=LoraSettings(r=lora),
        training=TrainingConfig(**training),
    )
    return replace(base, grpo=replace(base.grpo, **(grpo or {})), prompt=replace(base.prompt, **(prompt or {})))


def predictor(path, data, **changes):
    """An untrained RecZero."""
    return RecZero.from_backbone(backbone_folder(path), data, settings(**changes))


def reply(rating, match="a good fit", user="likes <b>calm</b> books"):
    """A reply of the right form."""
    return (
        f"<analyze user>{user}</analyze user><analyze item>[pos] calm [neg] long</analyze item>"
        f"<match>{match}</match><rate>{rating:g}</rate>"
    )


def rated(replies, samples=1, scale=SCALE):
    """What `RecZero.rate` makes of R * k replies."""
    parsed = [parse_rating(text, scale) for text in replies]
    table = np.array([np.nan if one.rating is None else one.rating for one in parsed]).reshape(-1, samples)
    known = np.isfinite(table).sum(axis=1)
    mean = np.array([np.nan if not n else np.nanmean(row) for n, row in zip(known, table, strict=True)])
    spread = np.array([np.nan if n < 2 else np.nanstd(row, ddof=1) for n, row in zip(known, table, strict=True)])
    return RatedExamples(
        mean,
        spread,
        replies[::samples],
        [one.problem or "" for one in parsed],
        np.array([len(text) // 4 for text in replies]),
        np.array(["</rate>" not in text for text in replies]),
    )
