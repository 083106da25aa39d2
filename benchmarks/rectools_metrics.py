"""Reckon's metrics beside RecTools': do they agree, and what does each cost?

Run it in an environment that has RecTools and Reckon's source (RecTools 0.19 pins numpy < 2, so it is one of its own):

    pip install 'rectools==0.19.0' && PYTHONPATH=src python benchmarks/rectools_metrics.py [--json FILE] [--quick]

20,000 users, 10,000 items, lists of 20, 400,000 training interactions. Both sides compute Hit, Recall and NDCG at 5,
10 and 20, MRR at 20, and at 10 coverage, novelty (mean inverse user frequency), mean popularity and intra-list
diversity (1 - cosine of sparse vectors). Each side gets its inputs ready made, Reckon arrays and RecTools data frames
of the same content: lists, targets, training interactions user by user, and item vectors. RecTools gets one call of
`calc_metrics`, which shares its merges. Both count interactions and search for targets on the clock. NDCG of RecTools
is the one with `divide_by_achievable=True`; MRR counts ranks up to 20 on both sides. Diversity is timed apart, since
RecTools forms every pair of a list in Python. Each measurement is a process of its own, sides taking turns; all values
must agree to 1e-9, or the run fails. Memory is what the metrics add to inputs that are there (Linux).

`--golden FILE` writes a small case with RecTools' values, which a test of Reckon reads where there is no RecTools.
"""

import argparse
import ctypes
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SHAPE = {"users": 20_000, "items": 10_000, "width": 20, "events": 20, "words": 5_000, "words_per_item": 20}
QUICK = {"users": 300, "items": 200, "width": 20, "events": 5, "words": 60, "words_per_item": 5}
GOLDEN = {"users": 25, "items": 40, "width": 20, "events": 4, "words": 12, "words_per_item": 3}
KS, K = (5, 10, 20), 10
TASKS = ("all but diversity", "diversity")
TOLERANCE = 1e-9
MORE_USERS = 4  # times as many, to see whether memory grows


def make(shape: dict[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Lists [U, width], targets [U], training events (user, item), item vectors as (item, word, weight)."""
    rng = np.random.default_rng(seed)
    users, items, width = shape["users"], shape["items"], shape["width"]
    popularity = 1 / np.arange(1, items + 1) ** 0.8
    lists = np.empty((users, width), dtype=np.int64)
    for row in range(users):
        drawn = rng.choice(items, size=width * 3, p=popularity / popularity.sum())
        distinct = np.unique(drawn)
        lists[row] = rng.permutation(distinct if len(distinct) >= width else np.arange(items))[:width]
    targets = np.where(
        rng.random(users) < 0.4,
        lists[np.arange(users), rng.integers(width, size=users)],
        rng.integers(items, size=users),
    )
    events = rng.choice(items, size=users * shape["events"], p=popularity / popularity.sum())
    words = np.stack([rng.permutation(shape["words"])[: shape["words_per_item"]] for _ in range(items)])
    return {
        "lists": lists,
        "targets": targets,
        "event_users": np.repeat(np.arange(users), shape["events"]),
        "event_items": events,
        "words": words,
        "weights": rng.random(words.shape) + 0.1,
        "shape": np.array([users, items, shape["words"]]),
    }


def unit_vectors(data: dict[str, np.ndarray]) -> Any:
    """[I, words] sparse, rows of length 1."""
    from scipy.sparse import csr_matrix

    items, words = int(data["shape"][1]), int(data["shape"][2])
    rows = np.repeat(np.arange(items), data["words"].shape[1])
    weights = data["weights"] / np.linalg.norm(data["weights"], axis=1, keepdims=True)
    return csr_matrix((weights.ravel(), (rows, data["words"].ravel())), shape=(items, words))


def reckon_inputs(data: dict[str, np.ndarray]) -> dict[str, Any]:
    return data | {"vectors": unit_vectors(data)}


def reckon_side(data: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Values, and seconds of each task."""
    from reckon.metrics import RankingResult, coverage, hit_at, mrr, ndcg_at, recall_at
    from reckon.metrics.lists import distinct_users, intra_list_diversity, mean_popularity, novelty

    items, lists = int(data["shape"][1]), data["lists"]
    started = time.perf_counter()
    ranks = np.full(len(lists), items + 1)
    for place, column in enumerate(lists.T, start=1):
        ranks[column == data["targets"]] = place
    result = RankingResult("reckon", ranks, items, lists)
    counts = np.bincount(data["event_items"], minlength=items)
    user_counts, users = distinct_users(data["event_users"], data["event_items"], items)
    values = {f"{name}@{k}": of(result, k) for k in KS for name, of in ranked_metrics(hit_at, recall_at, ndcg_at)}
    values |= {
        "mrr@20": mrr(result),
        f"coverage@{K}": coverage(result, K),
        f"novelty@{K}": novelty(lists, user_counts, users, K),
        f"arp@{K}": mean_popularity(lists, counts, K),
    }
    half = time.perf_counter()
    values[f"diversity@{K}"] = intra_list_diversity(lists, data["vectors"], K)
    return values, dict(zip(TASKS, (half - started, time.perf_counter() - half), strict=True))


def ranked_metrics(hit: Any, recall: Any, ndcg: Any) -> list[tuple[str, Any]]:
    return [("hit", hit), ("recall", recall), ("ndcg", ndcg)]


def rectools_inputs(data: dict[str, np.ndarray]) -> dict[str, Any]:
    """Data frames, and the distance of item pairs."""
    import pandas as pd
    from rectools import Columns
    from rectools.metrics.distances import PairwiseDistanceCalculator

    unit = unit_vectors(data)

    class Cosine(PairwiseDistanceCalculator):
        def _get_distances_for_item_pairs(self, items_0: Any, items_1: Any) -> Any:
            left, right = unit[np.asarray(items_0, dtype=np.int64)], unit[np.asarray(items_1, dtype=np.int64)]
            return 1 - np.asarray(left.multiply(right).sum(axis=1)).ravel()

    users, width = data["lists"].shape
    return {
        "reco": pd.DataFrame(
            {
                Columns.User: np.repeat(np.arange(users), width),
                Columns.Item: data["lists"].ravel(),
                Columns.Rank: np.tile(np.arange(1, width + 1), users),
            }
        ),
        "interactions": pd.DataFrame({Columns.User: np.arange(users), Columns.Item: data["targets"]}),
        "prev_interactions": pd.DataFrame({Columns.User: data["event_users"], Columns.Item: data["event_items"]}),
        "catalog": np.arange(int(data["shape"][1])),
        "distance": Cosine(),
    }


def rectools_side(frames: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Values, and seconds of each task."""
    from rectools import metrics

    ranked = ranked_metrics(metrics.HitRate, metrics.Recall, lambda k: metrics.NDCG(k, divide_by_achievable=True))
    asked = {f"{name}@{k}": of(k) for k in KS for name, of in ranked}
    asked |= {
        "mrr@20": metrics.MRR(20),
        f"coverage@{K}": metrics.CatalogCoverage(K, normalize=True),
        f"novelty@{K}": metrics.MeanInvUserFreq(K),
        f"arp@{K}": metrics.AvgRecPopularity(K),
    }
    diversity = metrics.IntraListDiversity(K, distance_calculator=frames["distance"])
    given = {name: frames[name] for name in ("reco", "interactions", "prev_interactions", "catalog")}
    started = time.perf_counter()
    values = metrics.calc_metrics(asked, **given)
    half = time.perf_counter()
    values[f"diversity@{K}"] = diversity.calc(frames["reco"])
    seconds = dict(zip(TASKS, (half - started, time.perf_counter() - half), strict=True))
    return {name: float(value) for name, value in values.items()}, seconds


SIDES = {"reckon": (reckon_inputs, reckon_side), "rectools": (rectools_inputs, rectools_side)}


def work(connection: Connection, side: str, shape: dict[str, int]) -> None:
    """One side in its own process; the peak is what the metrics add to inputs that are there."""
    inputs_of, compute = SIDES[side]
    compute(inputs_of(make(QUICK)))  # imports and first calls are not timed
    inputs = inputs_of(make(shape))
    ctypes.CDLL(None).malloc_trim(0)  # what making the inputs freed goes back, or the metrics would use it unseen
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of making the inputs is forgotten
    values, seconds = compute(inputs)
    connection.send((values, seconds, memory("VmHWM") - before))


def memory(field: str) -> float:
    """MiB that this process holds (`VmRSS`), or has held at most (`VmHWM`). Linux."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def measured(side: str, shape: dict[str, int]) -> tuple[dict[str, float], dict[str, float], float]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs, side, shape))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def check(reckon: dict[str, float], rectools: dict[str, float]) -> float:
    """The largest difference; fails where one is more than TOLERANCE."""
    assert reckon.keys() == rectools.keys()
    for name, value in reckon.items():
        if not abs(value - rectools[name]) <= TOLERANCE:  # NaN fails this too
            raise SystemExit(f"{name}: Reckon {value!r}, RecTools {rectools[name]!r}")
    return max(abs(value - rectools[name]) for name, value in reckon.items())


def write_golden(path: Path) -> None:
    """A small case with RecTools' values, after Reckon's have agreed with them."""
    from importlib.metadata import version

    data = make(GOLDEN, seed=1)
    values, _ = rectools_side(rectools_inputs(data))
    check(reckon_side(reckon_inputs(data))[0], values)
    content = {
        "rectools": version("rectools"),
        "values": values,
        "data": {name: v.tolist() for name, v in data.items()},
    }
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tiny size, to see that it runs")
    arguments = parser.parse_args()
    if arguments.golden:
        write_golden(arguments.golden)
        return
    shape = QUICK if arguments.quick else SHAPE
    runs: dict[str, list[Any]] = {side: [] for side in SIDES}
    for _ in range(1 if arguments.quick else arguments.repetitions):
        for side in SIDES:
            runs[side].append(measured(side, shape))
    gap = check(runs["reckon"][0][0], runs["rectools"][0][0])
    grown = measured("reckon", shape | {"users": MORE_USERS * shape["users"]})[2]
    report(runs, gap, grown, shape, arguments.json)


def report(runs: dict[str, list[Any]], gap: float, grown: float, shape: dict[str, int], path: Path | None) -> None:
    from importlib.metadata import version

    from measure import environment, write_json

    seconds = {side: {task: median(run[1][task] for run in runs[side]) for task in TASKS} for side in SIDES}
    memory = {side: round(median(run[2] for run in runs[side]), 1) for side in SIDES}
    ratios = {task: seconds["rectools"][task] / seconds["reckon"][task] for task in TASKS}
    ratios["all"] = sum(seconds["rectools"].values()) / sum(seconds["reckon"].values())
    print(f"{shape['users']:,} users x {shape['items']:,} items; largest difference {gap:.1e}")
    for task in TASKS:
        print(f"{task}: Reckon {seconds['reckon'][task]:.3f} s, RecTools {seconds['rectools'][task]:.3f} s", end="")
        print(f", {ratios[task]:.1f} times as long")
    print(f"all metrics: RecTools takes {ratios['all']:.1f} times as long")
    print(f"extra memory: Reckon {memory['reckon']} MiB ({grown:.1f} MiB at {MORE_USERS} times the users), ", end="")
    print(f"RecTools {memory['rectools']} MiB")
    if path is not None:
        content = {
            "shape": shape,
            "repetitions": len(runs["reckon"]),
            "seconds": seconds,
            "ratios": ratios,
            "extra_mib": memory | {f"reckon at {MORE_USERS} times the users": round(grown, 1)},
            "largest_difference": gap,
            "versions": {name: version(name) for name in ("rectools", "numpy", "pandas", "scipy")},
        }
        write_json(path, {"environment": environment()} | content)


if __name__ == "__main__":
    main()
