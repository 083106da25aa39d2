"""The rating task: predict the rating of every row, which has a user, an item and a true rating.

Entry point: `RatingTask`. In addition to the files of every cell, a cell holds

    ratings.safetensors   predictions [U] (NaN where the reply did not parse), truncated [U], lengths [U]
    replies.parquet       reply and problem of each row, for methods that write replies

A reply without a rating counts with its largest possible error in every mean (`reckon.metrics.rating`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from reckon.comparison.config import ComparisonConfig, ProtocolConfig, PublishedConfig
from reckon.comparison.contestant import Contestant
from reckon.comparison.rating.contestants import FittedRater
from reckon.comparison.rating.rows import RatingRows, rating_rows_of
from reckon.comparison.task import Task
from reckon.data import Dataset
from reckon.data.ratings import rating_scale
from reckon.data.splits import Split as RowSplit
from reckon.errors import ReckonError
from reckon.evaluation.guards import rating as guards
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.rating.evaluate import problems_of
from reckon.evaluation.rating.reasoning import reasoning_effect
from reckon.methods.reczero.model import RatedExamples
from reckon.metrics.rating import RatingResult, mae, rmse
from reckon.simulation.rated_bookshop import best_possible_ratings, rated_shop_of

RATINGS_FILE, REPLIES_FILE = "ratings.safetensors", "replies.parquet"
ALL = 1_000_000  # size of a window that holds all ratings


class RatingTask(Task):
    """Predict the rating of each row."""

    name = "rating"
    selection = "rmse"

    def rows(self, dataset: Dataset, protocol: ProtocolConfig, split: RowSplit, limit: int | None) -> RatingRows:
        return rating_rows_of(dataset, split, limit)

    def question(self, dataset: Dataset, rows: RatingRows, protocol: ProtocolConfig) -> str:
        return f"each rated on a scale of {rating_scale(dataset)} from what is older"

    def data_findings(self, dataset: Dataset, rows: RatingRows, protocol: ProtocolConfig) -> list[Finding]:
        return guards.data_findings(dataset, rows.examples)

    def best_possible(self, dataset: Dataset, rows: RatingRows, config: ComparisonConfig) -> dict[str, float] | None:
        """Error of a Bayes-optimal predictor that reads all visible ratings and knows every book's quality; a lower
        bound."""
        try:
            shop = rated_shop_of(dataset)
        except (ReckonError, KeyError):
            return None
        return best_possible_ratings(shop, replace(rows.examples, window=ALL, item_window=ALL), quality_known=True)

    def recommend(
        self, fitted: FittedRater, rows: RatingRows, dataset: Dataset, width: int, on_batch: Callable[[int], None]
    ) -> RatedExamples:
        return fitted.rater.rate(rows.examples, on_batch)

    def result(
        self, name: str, recommendations: RatedExamples, rows: RatingRows, dataset: Dataset, rates: Mapping[str, float]
    ) -> RatingResult:
        guards.refuse_unexplained(name, recommendations)
        examples, scale = rows.examples, rating_scale(dataset)
        return RatingResult(name, recommendations.predictions, examples.ratings, scale, examples.user_ids, rates=rates)

    def rates(self, fitted: FittedRater, recommendations: RatedExamples) -> dict[str, float]:
        if not fitted.reasons:
            return {}
        return {
            "truncated": float(recommendations.truncated.mean()),
            "parsed": recommendations.reply_parse_rate,
            "reply_length": float(recommendations.lengths.mean()),
        }

    def findings(
        self,
        method: Contestant,
        fitted: FittedRater,
        rows: RatingRows,
        recommendations: RatedExamples,
        dataset: Dataset,
        protocol: ProtocolConfig,
    ) -> list[Finding]:
        return guards.method_findings(
            fitted.rater.rate,
            rows.examples,
            recommendations,
            constant=method.constant,
            model=fitted.model,
            log=fitted.log,
        )

    def details(
        self, fitted: FittedRater, rows: RatingRows, recommendations: RatedExamples, limit: int, seed: int
    ) -> dict[str, Any]:
        """Number of replies by problem, and the effect of the reasoning on at most `limit` rows."""
        if fitted.model is None:
            return {}
        problems = dict(problems_of(recommendations).most_common())
        if limit < 2 or len(rows) < 2:
            return {"problems": problems, "reasoning": None}
        rng, prompt = np.random.default_rng(seed), fitted.model.config.prompt
        drawn = np.sort(rng.choice(len(rows), size=min(limit, len(rows)), replace=False))
        read = replace(rows.examples.subset(drawn), window=prompt.window, item_window=prompt.item_window)
        replies = [recommendations.replies[row] for row in drawn]
        return {"problems": problems, "reasoning": reasoning_effect(fitted.model, read, replies, seed=seed)}

    def save(self, folder: Path, recommendations: RatedExamples, fitted: FittedRater) -> None:
        arrays = {
            "predictions": np.asarray(recommendations.predictions, dtype=np.float64),
            "truncated": recommendations.truncated.astype(np.uint8),
            "lengths": np.asarray(recommendations.lengths, dtype=np.int64),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / RATINGS_FILE)
        if fitted.reasons:
            table = pa.table({"reply": recommendations.replies, "problem": recommendations.problems})
            pq.write_table(table, folder / REPLIES_FILE, compression="zstd")

    def load(self, folder: Path, rows: RatingRows, *, wrote: bool) -> RatedExamples:
        arrays, written = load_file(folder / RATINGS_FILE), {"reply": [""] * len(rows), "problem": [""] * len(rows)}
        if wrote:
            written = pq.read_table(folder / REPLIES_FILE).to_pydict()
        return RatedExamples(
            arrays["predictions"],
            np.full(len(rows), np.nan),
            written["reply"],
            written["problem"],
            arrays["lengths"],
            arrays["truncated"].astype(bool),
        )

    def refuse_impossible(self, result: RatingResult, config: ComparisonConfig) -> None:
        guards.refuse_impossible_errors(result.name, {"mae": mae(result), "rmse": rmse(result)}, result.scale)

    def refuse_published(self, row: PublishedConfig, dataset: Dataset, config: ComparisonConfig) -> None:
        guards.refuse_impossible_errors(row.name, row.values, rating_scale(dataset))
