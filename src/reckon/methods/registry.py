"""The registry of methods, with look-ups by name, by name in a comparison, and by finished run.

Entry points: `METHODS`, `method_named`, `contestants`, `method_of`,
`load_ranking_model`, `load_rating_model`. A method is one folder and one entry here. All differences between methods
are fields of `Method`; no other module tests for a method's name.
"""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reckon.errors import CheckpointError, ConfigError
from reckon.methods.method import PRESETS, WHOLE, Method, Option, Task

if TYPE_CHECKING:
    from reckon.methods.ranking_model import RankingModel
    from reckon.methods.reczero.model import RecZeroModel

RATES = (1e-4, 3e-4, 1e-3)  # learning rates of the default search spaces
RATING_ARMS_HELP = "The whole method, or another reward."

R2EC = Method(
    name="r2ec",
    title="R²ec",
    task="ranking",
    summary="Train R2ec with RecPO: one model that writes a reasoning and ranks the catalog from its end.",
    arms={
        WHOLE: "r2ec",
        "no-reasoning": "no-reasoning",
        "supervised": "supervised",
        "no-ranking-reward": "no-ranking-reward",
        "no-similarity-reward": "no-similarity-reward",
    },
    arms_help="The whole method, or an ablation.",
    contestants=(WHOLE, "no-reasoning", "supervised"),
    presets=(*PRESETS, "quick", "laptop"),
    search={"training.learning_rate": RATES},
    masking="head",
    examples=("--data data/shop --backbone Qwen/Qwen2.5-0.5B-Instruct --out runs/shop",),
    config_example="--preset small --format yaml",
    backbone_task="ranking",
    saved_as="r2ec.json",
    config_path="reckon.methods.r2ec.config:R2ecConfig",
    preset_path="reckon.methods.r2ec.config:preset",
    train_path="reckon.methods.r2ec.trainer:train",
    model_path="reckon.methods.r2ec.model:R2ecModel",
)

RPOREC = Method(
    name="rporec",
    title="RPORec",
    task="ranking",
    summary="Train RPORec: a language model that reasons in text, and a small Rechead that ranks by the text.",
    arms={WHOLE: "rporec", "history-only": "history-only"},
    arms_help="The whole method, or the Rechead on the history alone.",
    contestants=(WHOLE, "history-only"),
    search={"stage_one.learning_rate": RATES},
    masking="rechead",
    options=(
        Option(
            name="start",
            kind=Path,
            metavar="RUN",
            help="Start from a finished RPORec run: its model, Rechead and settings.",
        ),
        Option(
            name="stage",
            default="both",
            choices=("both", "rechead", "reasoning"),
            help="rechead: Stage I, train the Rechead on replies written once; reasoning: Stage II, reinforce the "
            "language model with the Rechead of --start; both: alternate.",
        ),
        Option(name="rounds", kind=int, default=1, least=1, compared=True, help="Number of rounds of both stages."),
    ),
    examples=(
        "--data data/shop --backbone Qwen/Qwen2.5-0.5B-Instruct --out runs/shop",
        "--data data/shop --start runs/stage-one --stage reasoning --out runs/stage-two",
        "--data data/shop --backbone backbones/shop --out runs/taught --teacher openai --model gpt-5-mini",
    ),
    config_example="--preset small",
    backbone_task="rporec",
    saved_as="rporec.json",
    reply_end="reckon.prompts.rporec:REPLY_END",
    teacher_help="Writer of the replies of the first Stage I; default: the model itself.",
    config_path="reckon.methods.rporec.config:RPORecConfig",
    preset_path="reckon.methods.rporec.config:preset",
    train_path="reckon.methods.rporec.rounds:train",
    model_path="reckon.methods.rporec.model:RPORecModel",
)

RECZERO = Method(
    name="reczero",
    title="RecZero",
    task="rating",
    summary="Train RecZero: a model that reasons in four steps and predicts a rating, by reinforcement learning alone.",
    arms={WHOLE: "reczero", "exact-answer": "exact-answer", "no-format": "no-format"},
    arms_help=RATING_ARMS_HELP,
    search={"training.learning_rate": RATES},
    examples=("--data data/music --backbone backbones/music --out runs/music --preset small",),
    config_example="--arm no-format",
    backbone_task="rating",
    saved_as="reczero.json",
    config_path="reckon.methods.reczero.config:RecZeroConfig",
    preset_path="reckon.methods.reczero.config:preset",
    train_path="reckon.methods.reczero.trainer:train",
    model_path="reckon.methods.reczero.model:RecZeroModel",
)

RECONE = Method(
    name="recone",
    title="RecOne",
    task="rating",
    summary="Train RecOne: fine-tune on a teacher's traces, then train as RecZero.",
    arms={WHOLE: "recone", "exact-answer": "exact-answer", "no-format": "no-format"},
    arms_help=RATING_ARMS_HELP,
    search={"training.learning_rate": RATES},
    options=(
        Option(
            name="traces",
            kind=Path,
            required=True,
            metavar="DIR",
            compared=True,
            help="Kept traces, made by `reckon traces make`.",
            fix="name the folder that `reckon traces make` wrote for this data",
        ),
    ),
    examples=("--data data/music --backbone Qwen/Qwen2.5-0.5B-Instruct --traces traces/music --out runs/music-one",),
    config_example="--preset small",
    backbone_task="rating",
    saved_as="reczero.json",  # a RecOne is saved as a RecZero
    settings_file="recone.yaml",
    config_path="reckon.methods.recone.config:RecOneConfig",
    preset_path="reckon.methods.recone.config:preset",
    train_path="reckon.methods.recone.stages:train",
    model_path="reckon.methods.reczero.model:RecZeroModel",
)

METHODS: dict[str, Method] = {method.name: method for method in (R2EC, RPOREC, RECZERO, RECONE)}


def method_named(name: str) -> Method:
    """The method of that name. Raises ConfigError for an unknown one."""
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        fix = f"did you mean {near[0]}" if near else f"use one of {', '.join(METHODS)}"
        raise ConfigError("method", name, "is no method", fix)
    return METHODS[name]


def contestants() -> dict[str, tuple[Method, str]]:
    """Names in tables of all arms that a comparison can train, each with its method and arm."""
    return {method.arms[arm]: (method, arm) for method in METHODS.values() for arm in method.contestants}


def method_of(run: Path) -> Method:
    """The method that loads the model of a finished run.

    RecOne saves a RecZero; only the manifest distinguishes the two (`name_of`).

    Raises:
        CheckpointError: there is no finished run.
    """
    for method in METHODS.values():
        if (run / method.saved_as).exists():
            return method
    raise CheckpointError(run, "is not a finished run", "give the directory of `reckon train`, after it has ended")


def load_ranking_model(run: Path) -> "RankingModel":
    """Load the recommender of a finished run. Raises CheckpointError where the run is not finished or a part is
    damaged."""
    model: RankingModel = _loaded(run, "ranking", "ranks")
    return model


def load_rating_model(run: Path) -> "RecZeroModel":
    """Load the rating predictor of a finished run. Raises CheckpointError where the run is not finished or a part is
    damaged."""
    model: RecZeroModel = _loaded(run, "rating", "predicts ratings")
    return model


def _loaded(run: Path, task: Task, does: str) -> Any:
    for method in METHODS.values():
        if method.task == task and (run / method.saved_as).exists():
            return method.load(run)
    raise CheckpointError(run, f"is not a finished run that {does}", "give the directory of `reckon train`, once ended")
