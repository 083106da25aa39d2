"""A tiny random model that now and then writes a reply of RPORec's form, and an RPORec on the shelf around it.

Its vocabulary holds beginnings (`<think>after NAME`), middles (` comes NAME`) and ends (`</think><answer>…</answer>`)
of replies as single tokens, and a few whole ones, so that what it writes at random often parses, and often does not.
"""

from dataclasses import replace

from reckon.methods.rporec import RPORec
from reckon.methods.rporec.config import PromptConfig, RecheadConfig, RPORecConfig, RPOSettings
from reckon.methods.rporec.rechead_training import StageOneConfig
from reckon.models.backbone import LoraSettings
from reckon.rl.rewards.rporec import RewardSettings
from reckon.rollout import SamplingConfig
from reckon.training.config import TrainingConfig
from support.shelf import TITLES, dataset
from support.talker import talker_folder

BEGINNINGS = ["<think>after the sea", "<think>after calm comes"]
MIDDLES = [" comes crime", " dark", " the harbour"]
ENDS = [f"</think><answer>{title}, a book</answer>" for title in TITLES[:6]]
WHOLE = [f"<think>so calm</think><answer>{title}, a book</answer>" for title in TITLES[4:8]]
FLUENCY = 35  # times the usual weights of the head; with seed 4 a third of the sampled replies parse


def backbone_folder(path, seed=4, fluency=FLUENCY):
    """A Hugging Face folder; which replies a prompt gets is as random as the weights are."""
    return talker_folder(path, BEGINNINGS + MIDDLES + ENDS + WHOLE, seed, fluency)


def settings(
    arm="full", seed=0, lora=0, prompt=None, rechead=None, stage_one=None, rewards=None, grpo=None, **training
):
    """Settings under which a step takes milliseconds."""
    training = {
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "batch_size": 8,
        "micro_batch_size": 8,
        "max_steps": 4,
        "eval_steps": 2,
        "validation_size": 8,
        "patience_steps": 100,
        "dtype": "float32",  # expected values must not hang on the machine
    } | training
    base = RPORecConfig(
        arm=arm,
        seed=seed,
        prompt=PromptConfig(style="compact", window=3, title_words=4, item_words=8),
        rechead=RecheadConfig(width=32, hidden=32, tau=0.2),
        stage_one=StageOneConfig(max_epochs=3, batch_size=16, negatives=5, validation_size=12),
        lora=LoraSettings(r=lora),
        rollout=SamplingConfig(temperature=1.0, max_completion_length=6),
        rewards=RewardSettings(summary_tokens=4),
        grpo=RPOSettings(num_generations=3, beta=0.001, top_entropy=0.5),
        training=TrainingConfig(**training),
    )
    changes = {"prompt": prompt, "rechead": rechead, "stage_one": stage_one, "rewards": rewards, "grpo": grpo}
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in changes.items() if values})


def recommender(path, arm="full", fluency=FLUENCY, **changes):
    """An RPORec with an untrained Rechead and its data set, under `path`."""
    data = dataset(path / "data")
    folder = backbone_folder(path / "backbone", fluency=fluency)
    return RPORec.from_backbone(folder, data, settings(arm, **changes)), data
