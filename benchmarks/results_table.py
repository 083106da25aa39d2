"""Turn committed `metrics.json` files into the Markdown tables of `docs/results.md`.

    python benchmarks/results_table.py demo docs/results/demo-seed-*.json
    python benchmarks/results_table.py run docs/results/industrial.json
    python benchmarks/results_table.py rating docs/results/digital-music.json
    python benchmarks/results_table.py rating-seeds docs/results/rating-seeds.json
    python benchmarks/results_table.py rporec-seeds docs/results/rporec-seeds.json
    python benchmarks/results_table.py comparison docs/results/compare-industrial.json
    python benchmarks/results_table.py sides docs/results/sasrec-movielens.json docs/results/sasrec-instruments.json

So no number in the page is copied by hand. `demo` compares every seed with the best possible; `run` and `rating` show
one evaluation with its intervals and paired differences; `rating-seeds` and `rporec-seeds` what the benchmarks of these
names measured; `comparison` the rows of `reckon compare --data`; `sides` what `benchmarks/sasrec.py` measured.
"""

import argparse
import json
from pathlib import Path
from typing import Any

CUTOFFS = (5, 10, 20)
METRIC_NAMES = {"hit": "Hit", "ndcg": "NDCG", "mae": "MAE", "rmse": "RMSE"}


DEMO_ARMS = ("popularity", "no-reasoning", "untrained reasoning", "supervised", "r2ec")


def demo_table(files: list[Path]) -> str:
    """One row per seed: Hit@5 of every arm and the share of the best possible; then r2ec minus each other arm."""
    rates = ["| seed | " + " | ".join(DEMO_ARMS) + " | best possible | r2ec / best | seconds |"]
    rates.append("| --: |" + " --: |" * (len(DEMO_ARMS) + 3))
    others = DEMO_ARMS[1:-1]
    gains = ["| seed | " + " | ".join(f"r2ec − {name}" for name in others) + " |", "| --: |" + " --: |" * len(others)]
    for file in files:
        content = json.loads(file.read_text())
        rows = {row["name"]: row for row in content["rows"]}
        pairs = {(pair["name"], pair["baseline"], pair["metric"]): pair for pair in content["paired"]}
        seed, best = file.stem.rpartition("-")[2], content["best_possible"]["hit@5"]
        arms = " | ".join(cell(rows[name], "hit@5") for name in DEMO_ARMS)
        share = rows["r2ec"]["hit@5"] / best
        rates.append(f"| {seed} | {arms} | {best:.3f} | {share:.0%} | {content['seconds']:.0f} |")
        gains.append(f"| {seed} | " + " | ".join(difference(pairs["r2ec", name, "hit@5"]) for name in others) + " |")
    return "\n".join([*rates, "", *gains])


def run_table(file: Path) -> str:
    """One row per method with intervals, then the paired differences."""
    content = json.loads(file.read_text())
    metrics = [f"{name}@{k}" for k in CUTOFFS for name in ("hit", "ndcg")]
    lines = [
        "| method | " + " | ".join(metric.replace("hit", "Hit").replace("ndcg", "NDCG") for metric in metrics) + " |",
        "| --- |" + " --: |" * len(metrics),
    ]
    for row in content["rows"]:
        lines.append(f"| {row['name']} | " + " | ".join(cell(row, metric) for metric in metrics) + " |")
    lines += ["", "| paired difference | metric | mean and 95 % interval |", "| --- | --- | --: |"]
    lines += [
        f"| {pair['name']} − {pair['baseline']} | {pair['metric']} | {difference(pair)} |"
        for pair in content["paired"]
        if pair["metric"].endswith("@10")
    ]
    return "\n".join(lines)


def rating_table(file: Path) -> str:
    """One row per predictor with intervals, then the paired differences of the run that the evaluation is about."""
    content = json.loads(file.read_text())
    lines = ["| method | MAE | RMSE | parse rate |", "| --- | --: | --: | --: |"]
    rows = content["rows"]
    lines += [f"| {row['name']} | {cell(row, 'mae')} | {cell(row, 'rmse')} | {row['parse_rate']:.1%} |" for row in rows]
    last = rows[-1]["name"]
    lines += ["", "| paired difference | MAE | RMSE |", "| --- | --: | --: |"]
    pairs = {(pair["baseline"], pair["metric"]): pair for pair in content["paired"] if pair["name"] == last}
    for row in rows[:-1]:
        both = " | ".join(difference(pairs[row["name"], metric]) for metric in ("mae", "rmse"))
        lines.append(f"| {last} − {row['name']} | {both} |")
    return "\n".join(lines)


def rating_seeds_table(file: Path) -> str:
    """One row per seed: errors beside the bias model and the best possible, rewards and updates; then means."""
    content = json.loads(file.read_text())
    lines = [
        "| seed | method | MAE | RMSE | parse rate | MAE of bias / halfway / best possible | reward, first → last "
        "| updates to RecZero's last reward |",
        "| --: | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for result in content["seeds"]:
        rows = {row["name"]: row for row in result["rows"]}
        best, bias = result["best_possible"]["mae"], rows["bias"]["mae"]
        half = (rows["global-mean"]["mae"] + best) / 2
        for arm in ("reczero", "recone"):
            row, reward = rows[arm], result["reward"][arm]
            lines.append(
                f"| {result['seed']} | {arm} | {cell(row, 'mae')} | {cell(row, 'rmse')} | {row['parse_rate']:.1%} | "
                f"{bias:.3f} / {half:.3f} / {best:.3f} | {reward['first']:.2f} → {reward['last']:.2f} | "
                f"{reward['updates_to_reward']} |"
            )
    return "\n".join([*lines, *over_seeds(content["summary"])])


def rporec_seeds_table(file: Path) -> str:
    """One row per seed and stage, the paired differences between the stages; then means."""
    content = json.loads(file.read_text())
    lines = [
        "| seed | Rechead | Hit@10 | NDCG@10 | NDCG@10 of a sampled reply | tokens | NDCG@10 minus the row above "
        "| best possible NDCG@10 |",
        "| --: | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for result in content["seeds"]:
        pairs = {(pair["name"], pair["baseline"]): pair for pair in result["paired"] if pair["metric"] == "ndcg@10"}
        before = None
        for row in result["rows"][1:]:  # after popularity
            sampled = result["sampled_ndcg@10"].get(row["name"])
            cells = (
                cell(row, "hit@10"),
                cell(row, "ndcg@10"),
                "" if sampled is None else f"{sampled:.3f}",
                f"{row['reply_length']:.1f}" if "reply_length" in row else "",
                difference(pairs[row["name"], before]) if before else "",
                f"{result['best_possible']['ndcg@10']:.3f}",
            )
            lines.append(f"| {result['seed']} | {row['name']} | {' | '.join(cells)} |")
            before = row["name"]
    return "\n".join([*lines, *over_seeds(content["summary"])])


def comparison_table(file: Path) -> str:
    """One row per method: means over seeds with intervals over users, deviations over seeds, what is not clear."""
    content = json.loads(file.read_text())
    about, paired = content["provenance"], content["paired"]
    if not paired:
        raise SystemExit(f"{file}: nothing was compared, the baseline failed")
    baseline, metrics = paired[0]["baseline"], list(dict.fromkeys(pair["metric"] for pair in paired))
    names = [
        METRIC_NAMES.get(metric.partition("@")[0], metric) + "".join(metric.partition("@")[1:]) for metric in metrics
    ]
    gains = {(pair["name"], pair["metric"]): pair for pair in paired}
    unclear = {key for key, pair in gains.items() if not pair["significant"]}
    headings = ["method", *names, *(f"{name} minus {baseline}" for name in names), "training, s", "trials"]
    lines = [f"| {' | '.join(headings)} |", "| --- |" + " --: |" * (len(headings) - 1)]
    for row in content["rows"]:
        name = row["name"] + (" !" if warned(row) else "")
        if row["failures"]:
            lines.append(f"| {name} | failed: {next(iter(row['failures'].values()))} |" + " |" * (len(headings) - 2))
            continue
        marked = [
            cell(row, metric) + spread(row, metric, about) + ("°" if (row["name"], metric) in unclear else "")
            for metric in metrics
        ]
        against = [gains.get((row["name"], metric)) for metric in metrics]
        differences = [difference(pair) if pair else "" for pair in against]
        cells = (*marked, *differences, f"{row['training_seconds']:.0f}", str(row["trials"] or ""))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for row in content["published"]:
        values = [f"{row['values'][metric]:.3f}" if metric in row["values"] else "" for metric in metrics]
        lines.append(f"| {row['name']} † | {' | '.join(values)} |" + " |" * (len(metrics) + 2))
    least = " and ".join(
        f"{max(pair['detectable'] for pair in paired if pair['metric'] == metric):.3f} in {name}"
        for metric, name in zip(metrics, names, strict=True)
    )
    several = len(about["seeds"]) > 1
    seeds = ("Mean over seeds " if several else "Seed ") + ", ".join(map(str, about["seeds"]))
    deviation = ", ± deviation over seeds" if several else ""
    trials = f"settings tried on validation rows, at most {about['trials']}" if about["trials"] else "no tuning"
    flags = " ! a guard warns, see the file." if any(warned(row) for row in content["rows"]) else ""
    notes = "".join(f" † {note}." for note in dict.fromkeys(row["note"] for row in content["published"]))
    lines += [
        "",
        f"{seeds}, 95 % interval over users{deviation}. ° not "
        f"significantly different from {baseline}, Holm-corrected over the table; each difference has its own "
        f"interval. The least true difference that the widest of these comparisons would find with power 0.8: {least}. "
        f"Trials: {trials}. Data {about['data'][:12]}, "
        f"rows {about['rows'][:12]}.{flags}{notes}",
    ]
    return "\n".join(lines)


def warned(row: dict[str, Any]) -> bool:
    """Whether a guard warns about a method."""
    return any(found["level"] == "warning" for cell in row["cells"] for found in cell["findings"] or ())


def sides_table(files: list[Path]) -> str:
    """One row per data set and side, and per difference: means over seeds with the intervals of Student's t."""
    lines = ["| data | side | Hit@10 | NDCG@10 | seconds |", "| --- | --- | --: | --: | --: |"]
    for file in files:
        content = json.loads(file.read_text())
        for side, means in {**content["means"], **content["differences"]}.items():
            numbers = [f"{means[name]['mean']:.4f} ± {means[name]['half_width']:.4f}" for name in ("hit@10", "ndcg@10")]
            seconds = f"{means['seconds']['mean']:.0f}" if "seconds" in means else ""
            lines.append(f"| {file.stem.removeprefix('sasrec-')} | {side} | {' | '.join(numbers)} | {seconds} |")
    return "\n".join(lines)


def over_seeds(summary: dict[str, Any]) -> list[str]:
    """Means over the seeds with the intervals of Student's t."""
    lines = ["", "| over the seeds | mean and 95 % interval |", "| --- | --: |"]
    for name, value in summary.items():
        low, high = value["mean"] - value["half_width"], value["mean"] + value["half_width"]
        lines.append(f"| {name} | {value['mean']:.3f} ({low:.3f} to {high:.3f}) |")
    return lines


def cell(row: dict[str, Any], metric: str) -> str:
    low, high = row[f"{metric}_ci"]
    return f"{row[metric]:.3f} ({low:.3f}–{high:.3f})"


def spread(row: dict[str, Any], metric: str, about: dict[str, Any]) -> str:
    """Deviation over seeds; a single seed has none."""
    return f" ±{row[f'{metric}_sd']:.3f}" if len(about["seeds"]) > 1 else ""


def difference(pair: dict[str, Any]) -> str:
    low, high = pair["ci"]
    return f"{pair['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


TABLES = {
    "run": run_table,
    "rating": rating_table,
    "rating-seeds": rating_seeds_table,
    "rporec-seeds": rporec_seeds_table,
    "comparison": comparison_table,
}
OF_SEVERAL = {"demo": demo_table, "sides": sides_table}


def main() -> None:
    """Print the tables of the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*OF_SEVERAL, *TABLES])
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.kind in OF_SEVERAL:
        print(OF_SEVERAL[arguments.kind](arguments.files))
    else:
        print("\n\n".join(map(TABLES[arguments.kind], arguments.files)))


if __name__ == "__main__":
    main()
