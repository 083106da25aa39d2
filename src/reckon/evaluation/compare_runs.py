"""Finished runs side by side, whatever their method: behind `reckon compare`.

Entry point: `compare_runs`. Every run ranks (or rates) the same rows; the last is compared with each before it, row by
row. Baselines stand above them. Nothing is written.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from reckon.baselines import Popularity
from reckon.data.splits import Split
from reckon.errors import CheckpointError, ConfigError
from reckon.evaluation.compare import Grid, compare, comparison_table, pairs_table, rates_table
from reckon.evaluation.ranking.evaluate import RETRAIN, ranking_result, result_of, rows_of
from reckon.evaluation.rating.evaluate import evaluate_rating_run
from reckon.methods.finished import names_of, task_of
from reckon.methods.registry import load_ranking_model
from reckon.runs.read import dataset_of


def compare_runs(
    runs: Sequence[str | Path],
    *,
    split: Split = "test",
    ks: Sequence[int] = (5, 10, 20),
    batch_size: int = 64,
    data: str | Path | None = None,
) -> list[Grid]:
    """Tables of metrics, of what was counted, and of paired differences with 95 % intervals.

    Args:
        runs: run directories on the same data, of the same task; the last is compared with each of the others.
        split: `test` or `valid`.
        ks: cut-offs, of runs that rank.
        batch_size: prompts at a time.
        data: the dataset directory, where it has moved since training.

    Raises:
        ConfigError: fewer than two runs.
        CheckpointError: a run is not finished, is given twice, has another task or other data than the first.
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise ConfigError("RUN", [str(path) for path in paths], "a comparison needs two runs", "name another one")
    if task_of(paths[0]) == "rating":
        return _compare_ratings(paths, split, batch_size, data)
    named = names_of(paths[-1], paths[:-1])
    results, dataset, excluded = [], None, True
    for name, path in named.items():
        model = load_ranking_model(path)
        if dataset is None:
            dataset, excluded = dataset_of(path, model.data_path, data), model.exclude_seen
            examples = rows_of(dataset, model, split)
            popularity = Popularity.fit(dataset, exclude_seen=excluded).ranks(examples, max(ks))
            results.append(result_of("popularity", popularity, examples, dataset.catalog))
        dataset_of(path, model.data_path, data or dataset.path)  # refuses a run on other data
        if model.exclude_seen != excluded:
            raise CheckpointError(path, "may recommend what the first run may not, or the other way round", RETRAIN)
        results.append(ranking_result(name, model, rows_of(dataset, model, split), max(ks), batch_size=batch_size)[0])
    metrics = [f"{metric}@{k}" for k in ks for metric in ("hit", "ndcg")]
    pairs = [pair for other in results[:-1] for pair in compare([other, results[-1]], other.name, metrics[:4])]
    return [comparison_table(results, ks), rates_table(results, max(ks)), pairs_table(pairs)]


def _compare_ratings(paths: Sequence[Path], split: Split, batch_size: int, data: str | Path | None) -> list[Grid]:
    with TemporaryDirectory() as unread:  # the page of the last run, which nobody asked for
        evaluation = evaluate_rating_run(
            paths[-1], split=split, batch_size=batch_size, beside=paths[:-1], data=data, out=unread
        )
    return evaluation.tables()
