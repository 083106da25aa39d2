"""A method that exists in tests alone: an R2ec that learns nothing, with a name and an option of its own."""

from dataclasses import replace
from pathlib import Path

from reckon.config import save_config
from reckon.methods.method import WHOLE, Method, Option
from reckon.methods.r2ec.model import R2ecModel
from reckon.runs.write import write_run
from support.shelf import settings

FIFTH = Method(
    name="fifth",
    title="The Fifth",
    task="ranking",
    summary="Train nothing.",
    arms={WHOLE: "fifth", "no-reasoning": "fifth-plain"},
    arms_help="The whole, or less.",
    contestants=(WHOLE, "no-reasoning"),
    masking="head",
    options=(
        Option(name="luck", kind=int, default=1, least=0, compared=True, help="Logged, and nothing else."),
        Option(name="sort", default="a", choices=("a", "b"), help="Of luck."),
    ),
    examples=("--data d --backbone b --out r --luck 3",),
    backbone_task="ranking",
    saved_as="fifth.json",
    config_path="reckon.methods.r2ec.config:R2ecConfig",
    preset_path="support.fifth_method:preset",
    train_path="support.fifth_method:train",
    model_path="support.fifth_method:Fifth",
)


class Fifth(R2ecModel):
    """R2ec's model in a folder of another name."""

    METHOD = "fifth"


def preset(name, arm):
    return replace(settings(arm), seed={"paper": 0, "as_released": 1, "small": 2}[name])


def train(config, dataset, backbone, out, *, luck=1, sort="a", resume=False, progress=True, on_progress=None):
    model = Fifth.from_backbone(backbone, dataset, config)
    Path(out).mkdir(parents=True)
    save_config(config, Path(out) / "config.yaml")
    model.save_pretrained(out)
    log = [{"step": 0, "eval_ndcg@10": 0.0, "luck": luck}]
    write_run(Path(out), model.METHOD, config, model.backbone, dataset, log, 0.0, metric="ndcg@10")
    return model
