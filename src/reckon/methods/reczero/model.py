"""RecZero: a language model that reasons in fixed steps and then predicts a rating.

Entry points: `RecZero.from_backbone`, `fit`, `rate`, `predict`, `save_pretrained`, `from_pretrained`.

    from reckon.data import Dataset
    from reckon.data.ratings import rating_examples
    from reckon.methods.reczero import RecZero

    dataset = Dataset.load("music")
    model = RecZero.from_backbone("Qwen/Qwen2.5-0.5B-Instruct", dataset)
    model.fit(dataset, out="run")
    print(model.rate(rating_examples(dataset, "test"), samples=8).predictions)

Source: RecZero (arXiv 2510.23077).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from reckon.checksums import checking, checksummed
from reckon.config import save_config
from reckon.data import Catalog, Dataset
from reckon.data.examples import FloatArray
from reckon.data.ratings import RatingExample, RatingExamples, Scale, rating_scale
from reckon.errors import CheckpointError, ConfigError
from reckon.files import write_text
from reckon.json_file import COPY_AGAIN
from reckon.methods.reczero.config import RecZeroConfig, preset
from reckon.models.backbone import Backbone, load_backbone
from reckon.prompts.cutting import prompt_limit
from reckon.prompts.rating import LEAST_ITEM_TOKENS, FittedPrompt, bare_tokens, fitted_prompt
from reckon.prompts.rating_reply import REPLY_END, ParsedRating, parse_rating
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine
from reckon.runs.read import CONFIG_FILE, MODEL_CHECKSUMS, MODEL_FOLDER, check_run, config_of, meta_of
from reckon.runs.saved_catalog import ITEMS_FILE, load_items, save_items
from reckon.training.backbone import backbone_to_train

PROMPTS_AT_ONCE = 64  # prompts per inference batch
META_FILE = "reczero.json"


@dataclass(frozen=True, slots=True)
class RatedExamples:
    """Predictions for R rows with k replies each."""

    predictions: FloatArray
    """[R] mean rating of the replies that parsed; NaN where none did."""
    spread: FloatArray
    """[R] standard deviation of the ratings that parsed, in rating units; NaN where fewer than two did."""
    replies: list[str]
    """First reply of each of the R rows."""
    problems: list[str]
    """Problem of each of the R * k replies, a short code; empty where the reply parsed."""
    lengths: np.ndarray
    """[R * k] reply tokens."""
    truncated: np.ndarray
    """[R * k] True where the reply ran out of budget."""
    prompts: Sequence[FittedPrompt] = ()
    """Counts of cuts in the R prompts, without their texts; empty where the replies were given."""

    @property
    def prompt_rates(self) -> dict[str, float]:
        """Mean number of dropped ratings, shortened reviews and shortened titles per prompt, each only if above 0."""
        counts = {
            "dropped_reviews": [prompt.dropped_reviews for prompt in self.prompts],
            "cut_texts": [prompt.cut_texts for prompt in self.prompts],
            "cut_titles": [prompt.cut_titles for prompt in self.prompts],
        }
        return {name: float(np.mean(values)) for name, values in counts.items() if any(values)}

    @property
    def reply_parse_rate(self) -> float:
        """Share of all replies that parsed."""
        return sum(not problem for problem in self.problems) / len(self.problems)


class RecZeroModel:
    """A RecZero without training: prompts, predictions, storage."""

    def __init__(
        self, backbone: Backbone, catalog: Catalog, words: dict[str, str], scale: Scale, config: RecZeroConfig
    ) -> None:
        self.backbone, self.catalog, self.words, self.scale, self.config = backbone, catalog, words, scale, config
        self.engine = SharedPrefixEngine(backbone, REPLY_END, appends_marker=False)
        self.data_path: Path | None = None
        self.prompt_limit = self._prompt_limit()
        """Most tokens of a prompt: `prompt.max_tokens`, or fewer where the model's positions leave fewer beside a
        reply."""

    @classmethod
    def from_backbone(
        cls, backbone: str | Path | Backbone, dataset: Dataset, config: RecZeroConfig | None = None
    ) -> Self:
        """An untrained RecZero.

        Args:
            backbone: hub id or folder of a causal language model, or a loaded one.
            dataset: gives the model's catalog and scale of ratings.
            config: settings; default: the `paper` preset.

        Raises:
            DataError: the data set has no ratings.
        """
        config = config or preset("paper")
        backbone = backbone_to_train(backbone, config.training, config.lora, config.seed)
        model = cls(backbone, dataset.catalog, dataset.words, rating_scale(dataset), config)
        model.data_path = dataset.path
        return model

    # -- prompts and replies --------------------------------------------------------------------------------------

    def prompt(self, example: RatingExample) -> FittedPrompt:
        """The prompt of one example, within the token budget."""
        prompt = self.config.prompt
        return fitted_prompt(
            example,
            self.catalog,
            self.words,
            self.scale,
            self.backbone.tokenizer,
            style=prompt.style,
            max_tokens=self.prompt_limit,
            item_tokens=prompt.item_tokens,
            title_tokens=prompt.title_tokens,
            review_words=prompt.review_words,
            item_review_words=prompt.item_review_words,
            item_words=prompt.item_words,
            title_words=prompt.title_words,
        )

    def _prompt_limit(self) -> int:
        prompt, tokenizer = self.config.prompt, self.backbone.tokenizer
        histories = min(prompt.window, prompt.item_window) > 0
        return prompt_limit(
            prompt.max_tokens,
            self.backbone.positions,
            self.config.rollout.max_completion_length,
            bare_tokens(self.words, self.scale, tokenizer, prompt.style, histories=histories),
            "rollout.max_completion_length",
            LEAST_ITEM_TOKENS,
        )

    def require_items_of(self, dataset: Dataset) -> None:
        """Refuse a data set with other items: its rows name items by their place. Raises CheckpointError."""
        if self.catalog.ids != dataset.catalog.ids:
            fix = f"{COPY_AGAIN}, or give the data set of the training with --data"
            raise CheckpointError(ITEMS_FILE, f"holds other items than {dataset.path}", fix)

    def replies(self, rollouts: Rollouts) -> list[str]:
        """Text of each reply, without end-of-turn tokens."""
        return [
            str(self.backbone.tokenizer.decode(ids[:length].tolist(), skip_special_tokens=True))
            for ids, length in zip(rollouts.reply_ids, rollouts.lengths.tolist(), strict=True)
        ]

    # -- predicting -----------------------------------------------------------------------------------------------

    def rate(
        self,
        examples: Sequence[RatingExample] | RatingExamples,
        *,
        samples: int = 1,
        seed: int = 0,
        batch_size: int = PROMPTS_AT_ONCE,
        on_batch: Callable[[int], None] | None = None,
    ) -> RatedExamples:
        """Reason about each example and predict its rating.

        Args:
            examples: R rows; their true ratings are not read.
            samples: k replies per row. 1 is the greedy reply. For k > 1, replies are sampled as in training; the
                prediction is their mean, which minimises the expected squared error, and `spread` is their standard
                deviation.
            seed: of the sampled replies, which also depend on the order of the rows and on `batch_size`.
            batch_size: rows per batch; greedy replies do not depend on it.
            on_batch: called with the number of rows of each batch.
        """
        if samples < 1:
            raise ConfigError("samples", samples, "a prediction needs at least one reply", "use 1 or more")
        sampling = self.config.rollout
        if samples == 1:
            sampling = SamplingConfig(temperature=0, max_completion_length=sampling.max_completion_length)
        generator = torch.Generator(device=self.backbone.device).manual_seed(seed)
        parsed: list[ParsedRating] = []
        read: list[FittedPrompt] = []
        texts: list[str] = []
        lengths: list[int] = []
        truncated: list[bool] = []
        for start in range(0, len(examples), batch_size):
            batch = [examples[row] for row in range(start, min(start + batch_size, len(examples)))]
            prompts = [self.prompt(example) for example in batch]
            read += [replace(prompt, messages=[], text="", ids=[]) for prompt in prompts]  # keep only the counts
            ids = [prompt.ids for prompt in prompts]
            rollouts = self.engine.sample(ids, sampling, num_generations=samples, generator=generator)
            written = self.replies(rollouts)
            texts += written[::samples]
            parsed += [parse_rating(text, self.scale) for text in written]
            lengths += rollouts.lengths.tolist()
            truncated += rollouts.truncated.tolist()
            if on_batch is not None:
                on_batch(len(batch))
        predictions, spread = _mean_and_spread([reply.rating for reply in parsed], samples)
        problems = [reply.problem or "" for reply in parsed]
        return RatedExamples(predictions, spread, texts, problems, np.array(lengths), np.array(truncated), read)

    def predict(self, examples: Sequence[RatingExample] | RatingExamples) -> FloatArray:
        """[R] predicted ratings; NaN where the reply did not parse."""
        return self.rate(examples).predictions

    # -- storage --------------------------------------------------------------------------------------------------

    def save_pretrained(self, path: str | Path) -> None:
        """Write weights and tokenizer (`model/`), `items.parquet`, `config.yaml`, `reczero.json` and, last, the
        checksums."""
        path = Path(path)
        with checksummed(path) as files:
            self.backbone.save(path / MODEL_FOLDER)
            save_items(path, self.catalog)
            save_config(self.config, path / CONFIG_FILE)
            data = str(self.data_path.resolve()) if self.data_path else None
            meta = {"method": "reczero", "words": self.words, "scale": self.scale.record, "data": data}
            write_text(path / META_FILE, json.dumps(meta, indent=2))
            files.update({MODEL_CHECKSUMS, ITEMS_FILE, CONFIG_FILE, META_FILE})

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | torch.device | None = None, *, verify: bool = True
    ) -> Self:
        """Load a model from a folder of `save_pretrained`, or from a finished run.

        Args:
            path: the folder.
            device: where to put the model; default: the first accelerator, else the CPU.
            verify: whether to check that all files are as they were written.

        Raises:
            CheckpointError: a part is missing, damaged or changed.
        """
        with checking(verify):
            return cls._loaded(Path(path), device)

    @classmethod
    def _loaded(cls, path: Path, device: str | torch.device | None) -> Self:
        if not (path / META_FILE).exists():
            raise CheckpointError(
                path,
                f"is not a finished RecZero run (no {META_FILE})",
                "give the directory of `reckon train reczero`, after it has ended",
            )
        check_run(path)
        meta = meta_of(path / META_FILE, scale={"lowest": float, "highest": float, "step": (float, None)})
        catalog, scale, data = Catalog(load_items(path)), Scale.of_record(meta["scale"]), meta["data"]
        config = config_of(path, RecZeroConfig)
        backbone = load_backbone(path / MODEL_FOLDER, dtype=config.training.dtype, device=device)
        model = cls(backbone, catalog, meta["words"], scale, config)
        model.data_path = Path(data) if data else None
        return model


def _mean_and_spread(ratings: Sequence[float | None], samples: int) -> tuple[FloatArray, FloatArray]:
    """Mean [R] and sample standard deviation [R] of each row's k ratings, without None."""
    table = np.array([np.nan if rating is None else rating for rating in ratings]).reshape(-1, samples)
    known = np.isfinite(table)
    count = known.sum(axis=1)
    mean = np.divide(np.where(known, table, 0).sum(axis=1), count, out=np.full(len(table), np.nan), where=count > 0)
    squares = np.where(known, (table - mean[:, None]) ** 2, 0).sum(axis=1)
    spread = np.sqrt(np.divide(squares, count - 1, out=np.full(len(table), np.nan), where=count > 1))
    return mean, spread
