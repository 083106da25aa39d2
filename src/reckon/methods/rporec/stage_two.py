"""Stage II of RPORec: reinforcement learning of the language model with rewards of the frozen Rechead.

Entry point: `fit_reasoning`. GRPO with six rewards and a gradient on the tokens of highest entropy only. Run directory,
checkpoints, validation and early stopping are those of all methods. The best state has the highest NDCG@10 on a fixed
sample of validation rows.

Source: RPORec (arXiv 2605.21967), Stage II.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from reckon.config import save_config
from reckon.data import Dataset, Example, Examples
from reckon.errors import ConfigError
from reckon.locks import locked
from reckon.methods.rporec.model import THINK, THOUGHT, RPORecModel, written_text
from reckon.methods.rporec.reply_store import Reply
from reckon.methods.rporec.summaries import Summariser
from reckon.methods.validation import SELECTION_METRIC, prompt_metrics, training_rows, validate
from reckon.models.backbone import Backbone
from reckon.models.scoring import target_ranks
from reckon.prompts.rporec import REPLY_END
from reckon.rl.policy_trainer import ExampleRows, PolicySettings, PolicyTrainer
from reckon.rl.reference import ReferencePolicy
from reckon.rl.rewards.rporec import reward_parts, total
from reckon.rollout import Rollouts
from reckon.runs.write import TrajectoryLog, starting_point, write_run
from reckon.training.arguments import training_arguments
from reckon.training.loop import run_trainer
from reckon.training.optimizer import adamw


class ReasoningTrainer(PolicyTrainer):
    """GRPO with the six rewards of RPORec."""

    appends_marker = False
    rewards_entropy = True
    recommender: RPORecModel
    validation: Examples
    trajectories: TrajectoryLog
    summariser: Summariser | None

    def attach(self, recommender: RPORecModel, validation: Examples, trajectories: TrajectoryLog) -> None:
        """Set the recommender and the fixed validation sample. Call it before a checkpoint is loaded, because the
        summariser freezes the present weights."""
        self.recommender, self.validation, self.trajectories = recommender, validation, trajectories
        rewards = recommender.config.rewards
        self.summariser = None
        if rewards.needs_summary:
            start = self.reference or ReferencePolicy(self.backbone)
            self.summariser = Summariser(start, recommender.prompt.style, rewards.summary_tokens)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer = adamw(self.backbone, self.recommender.config.training)
        return self.optimizer

    def prompt_ids(self, example: Example) -> list[int]:
        prompt = self.recommender.fitted(example)
        self.report(**prompt_metrics(self.recommender, prompt))
        return prompt.ids

    def score(self, rollouts: Rollouts, examples: Sequence[Example]) -> Tensor:
        """Weighted sum of the six rewards of each trajectory: [N]."""
        rows = [example for example in examples for _ in range(rollouts.group_size)]
        replies, settings = self.recommender.replies(rollouts), self.recommender.config.rewards
        columns = self._columns(rollouts, rows, replies)
        texts, size = [reply.text for reply in replies], len(self.recommender.catalog)
        parts = reward_parts(settings, texts, rollouts.reply_ids.tolist(), catalog_size=size, **columns)
        rewards = total(settings, parts)
        self.report(reply__parsed=sum(parts["format"]) / len(rows))
        self.report(**{f"reward__{name}": sum(values) / len(rows) for name, values in parts.items()})
        parsed = [reply.parsed for reply in replies]
        self.trajectories.add(
            self.state.global_step,
            rollouts,
            user_id=[example.user_id for example in rows],
            target=[example.target for example in rows],
            reply=[reply.text for reply in replies],
            reasoning=[one.reasoning for one in parsed],
            summary=columns.get("summary", [""] * len(rows)),
            problem=[one.problem or "" for one in parsed],
            target_rank=columns["target_rank"],
            reward=rewards,
            **{f"reward_{name}": values for name, values in parts.items()},
        )
        return torch.tensor(rewards, device=rollouts.hidden.device)

    def _columns(self, rollouts: Rollouts, rows: Sequence[Example], replies: Sequence[Reply]) -> dict[str, list[Any]]:
        """Reward columns, one value per trajectory."""
        parsed = [reply.parsed for reply in replies]
        reasonings = [one.reasoning if one.problem is None else "" for one in parsed]
        spans = [
            reasoning_tokens(self.backbone, ids[:length].tolist()) if text else slice(0, 0)
            for ids, length, text in zip(rollouts.reply_ids, rollouts.lengths.tolist(), reasonings, strict=True)
        ]
        assert rollouts.entropies is not None
        columns: dict[str, list[Any]] = {
            "target_rank": self._target_ranks(rows, replies),
            "reasoning_entropies": [
                entropies[span].tolist() for entropies, span in zip(rollouts.entropies, spans, strict=True)
            ],
        }
        if self.summariser is not None:
            summaries = self.summariser.summaries(reasonings)
            vectors = self.recommender.encoder.encode([*reasonings, *summaries])  # [2 N, D]
            cosines = (vectors[: len(rows)] * vectors[len(rows) :]).sum(dim=1)
            columns |= {"summary": summaries, "summary_similarity": cosines.tolist()}
        return columns

    def _target_ranks(self, rows: Sequence[Example], replies: Sequence[Reply]) -> list[int]:
        """Rank of each target in the whole catalog, by the Rechead."""
        recommender = self.recommender
        targets = torch.tensor([example.target for example in rows])
        ranks = target_ranks(
            recommender.queries(rows, replies),
            recommender.table.vectors,
            targets,
            bias=recommender.bias,
            exclude=recommender.seen(rows),
        )
        return [int(rank) for rank in ranks]

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """NDCG@10 and Hit@10 of the greedy replies to the fixed validation sample."""
        metrics = validate(self.recommender, self.validation, metric_key_prefix)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_extra(self, folder: Path) -> None:
        self.trajectories.flush(self.state.global_step)  # a resumed run continues here and writes later steps again


def reasoning_tokens(backbone: Backbone, ids: Sequence[int]) -> slice:
    """Positions of the reasoning's tokens in a reply of the right format.

    They are found by decoding prefixes of the reply, because a tag may have any number of tokens. A token with a part
    of a tag belongs to the tag.
    """
    text = written_text(backbone, ids)
    first, last = text.index(THINK) + len(THINK), text.index(THOUGHT)

    def tokens_until(characters: int) -> int:
        """Length in tokens of the shortest prefix whose text has at least `characters` characters."""
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            # A partial character is decoded to one or more replacement characters.
            spelled = str(backbone.tokenizer.decode(list(ids[:middle]), skip_special_tokens=False))
            if len(spelled.rstrip("\ufffd")) < characters:
                low = middle + 1
            else:
                high = middle
        return low

    return slice(tokens_until(first), tokens_until(last + 1) - 1)


@locked()
def fit_reasoning(
    model: RPORecModel,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train the language model in place, keep its best state, and write the run directory.

    Args:
        model: with a Rechead that Stage I has trained.
        dataset: training and validation rows; test rows are not read.
        out: run directory. It must be new, or hold a run to `resume`.
        resume: continue from the latest whole checkpoint, bit for bit.
        progress: show a progress bar.
        callbacks: further transformers callbacks, e.g. a tracker.

    Raises:
        CheckpointError: the directory holds a run already, or there is nothing to resume.
        ConfigError: the arm writes no reasoning.
    """
    config, backbone = model.config, model.backbone
    if not config.reasons:
        raise ConfigError(
            "arm", config.arm, "writes no reasoning, so Stage II has nothing to train", "use --stage rechead"
        )
    start = starting_point(out, resume, dataset.identity | backbone.identity)
    train, validation = training_rows(model, dataset)
    trainer = ReasoningTrainer(
        model=backbone.model,
        args=training_arguments(config.training, config.seed, out, backbone.device, SELECTION_METRIC, progress),
        train_dataset=ExampleRows(train),
        eval_dataset=ExampleRows(validation),
        callbacks=list(callbacks),
        backbone=backbone,
        marker=REPLY_END,
        settings=PolicySettings(config.rollout, config.grpo, config.training.micro_batch_size, config.grpo.top_entropy),
    )
    trainer.attach(model, validation, TrajectoryLog(out / "trajectories"))
    save_config(config, out / "config.yaml")
    seconds = run_trainer(trainer, out, config.training.patience_steps, start)
    model.save_pretrained(out)
    log = trainer.state.log_history
    write_run(out, model.METHOD, config, backbone, dataset, log, seconds, metric=SELECTION_METRIC)
