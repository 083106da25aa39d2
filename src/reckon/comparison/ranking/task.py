"""The ranking task: rank the catalog for every row, which has one target.

Entry point: `RankingTask`. In addition to the files of every cell, a cell holds

    ranks.safetensors   ranks [U], items [U, K], truncated [U], parsed [U], lengths [U]
    reasonings.parquet  reasoning of each row, for methods that reason
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from reckon.comparison.config import ComparisonConfig, ProtocolConfig, PublishedConfig
from reckon.comparison.contestant import Contestant
from reckon.comparison.protocol import Rows, rank_rows, rows_of
from reckon.comparison.ranking.contestants import Fitted
from reckon.comparison.ranking.list_metrics import ListInputs
from reckon.comparison.task import Task
from reckon.data import Dataset
from reckon.data.splits import Split as RowSplit
from reckon.errors import ReckonError
from reckon.evaluation.guards import ranking as guards
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.ranking.reasoning import reasoning_effect
from reckon.metrics import RankingResult
from reckon.models.recommender import RankedExamples
from reckon.simulation.bookshop import best_possible, shop_of

RANKS_FILE, REASONINGS_FILE = "ranks.safetensors", "reasonings.parquet"


class RankingTask(Task):
    """Rank the catalog for each row; the metrics are those of the target's rank."""

    name = "ranking"
    selection = "ndcg@10"

    def rows(self, dataset: Dataset, protocol: ProtocolConfig, split: RowSplit, limit: int | None) -> Rows:
        return rows_of(dataset, protocol, split, limit)

    def question(self, dataset: Dataset, rows: Rows, protocol: ProtocolConfig) -> str:
        items = f"{len(dataset.catalog):,} items"
        among = items if protocol.negatives is None else f"{protocol.negatives:,} sampled of {items}"
        seen = "without" if protocol.excludes_seen else "with"
        return f"each target ranked among {among}, {seen} what the user took before"

    def data_findings(self, dataset: Dataset, rows: Rows, protocol: ProtocolConfig) -> list[Finding]:
        return guards.data_findings(dataset, rows.examples, exclude_seen=protocol.excludes_seen)

    def best_possible(self, dataset: Dataset, rows: Rows, config: ComparisonConfig) -> dict[str, float] | None:
        if rows.negatives is not None or not config.protocol.excludes_seen:
            return None  # the simulation's optimum is for the whole catalog with seen items excluded
        try:
            shop, books = shop_of(dataset)
        except (ReckonError, KeyError):
            return None
        return best_possible(shop, rows.examples, books, config.ks)

    def recommend(
        self, fitted: Fitted, rows: Rows, dataset: Dataset, width: int, on_batch: Callable[[int], None]
    ) -> RankedExamples:
        return rank_rows(fitted.ranker, rows, fitted.window, width, len(dataset.catalog), on_batch)

    def result(
        self, name: str, recommendations: RankedExamples, rows: Rows, dataset: Dataset, rates: Mapping[str, float]
    ) -> RankingResult:
        size, users = len(dataset.catalog), rows.examples.user_ids
        return RankingResult(name, recommendations.ranks, size, recommendations.items, users, rates)

    def rates(self, fitted: Fitted, recommendations: RankedExamples) -> dict[str, float]:
        if not fitted.reasons:
            return {}
        return {
            "truncated": float(recommendations.truncated.mean()),
            "parsed": float(recommendations.parsed.mean()),
            "reply_length": float(recommendations.lengths.mean()),
        }

    def findings(
        self,
        method: Contestant,
        fitted: Fitted,
        rows: Rows,
        recommendations: RankedExamples,
        dataset: Dataset,
        protocol: ProtocolConfig,
    ) -> list[Finding]:
        return guards.method_findings(
            fitted.ranker.ranks,
            rows.within(fitted.window),
            recommendations,
            len(dataset.catalog),
            exclude_seen=protocol.excludes_seen,
            sampled=rows.negatives is not None,
            constant=method.constant,
            model=fitted.model,
            log=fitted.log,
        )

    def details(
        self, fitted: Fitted, rows: Rows, recommendations: RankedExamples, limit: int, seed: int
    ) -> dict[str, Any]:
        """Effect of the reasoning, measured on at most `limit` rows."""
        if fitted.model is None or not fitted.model.reasons or limit == 0:
            return {"reasoning": None}
        if rows.negatives is not None:
            return {"reasoning": None}  # the effect is measured on the whole catalog; sampled metrics do not compare
        examples = rows.within(fitted.window).sample(limit, seed)
        return {"reasoning": reasoning_effect(fitted.model, examples, seed=seed)}

    def save(self, folder: Path, recommendations: RankedExamples, fitted: Fitted) -> None:
        arrays = {
            name: getattr(recommendations, name)
            for name in ("ranks", "items", "lengths", "dropped_events", "cut_titles")
        }
        flags = {name: getattr(recommendations, name).astype(np.uint8) for name in ("truncated", "parsed")}
        tensors = {name: np.ascontiguousarray(array) for name, array in (arrays | flags).items()}
        save_file(tensors, folder / RANKS_FILE)
        if fitted.reasons:
            table = pa.table({"reasoning": recommendations.reasonings})
            pq.write_table(table, folder / REASONINGS_FILE, compression="zstd")

    def load(self, folder: Path, rows: Rows, *, wrote: bool) -> RankedExamples:
        arrays, written = load_file(folder / RANKS_FILE), [""] * len(rows)
        if wrote:
            written = pq.read_table(folder / REASONINGS_FILE)["reasoning"].to_pylist()
        flags = arrays["truncated"].astype(bool), arrays["parsed"].astype(bool)
        cut = arrays["dropped_events"], arrays["cut_titles"]
        return RankedExamples(arrays["ranks"], arrays["items"], *flags, arrays["lengths"], written, *cut)

    def refuse_impossible(self, result: RankingResult, config: ComparisonConfig) -> None:
        guards.refuse_impossible(result, config.ks)

    def refuse_published(self, row: PublishedConfig, dataset: Dataset, config: ComparisonConfig) -> None:
        guards.refuse_impossible_values(row.name, row.values, config.ks)

    def list_numbers(
        self, dataset: Dataset, rows: Rows, results: Mapping[str, Sequence[RankingResult]], config: ComparisonConfig
    ) -> dict[str, dict[str, float]]:
        """MRR, coverage, Gini, novelty, popularity and diversity of every method."""
        inputs, key = ListInputs.of(dataset, rows.examples), config.metric_key("mrr")
        return {name: inputs.numbers(found, config.headline, key) for name, found in results.items()}
