"""The tables of benchmarks/gpu.py for a person to read. Entry point: `render`; it shows only what was measured."""

from typing import Any

from measure import table

Parts = dict[str, dict[str, Any]]
SHOWN_CURVE = ("eval_ndcg@10", "eval_hit@10", "eval_reply/truncated", "reward/mean")


def render(result: dict[str, Any]) -> str:
    """Everything that was measured, then what was not."""
    device, parts = result["accelerator"], result["parts"]
    name = f"{device['name']}, {device['memory_gib']} GiB, CUDA {device['cuda']}" if device else "none"
    shown = [f"accelerator: {name}"]
    shown += [_correctness(of_kind(parts, "correctness")), _ceilings(of_kind(parts, "ceilings"))]
    shown += [_step(name, part) for name, part in of_kind(parts, "step").items()]
    shown += [_decode(of_kind(parts, "decode") | of_kind(parts, "compiled")), _ranking(of_kind(parts, "ranking"))]
    shown += [_training(part) for part in of_kind(parts, "training").values()]
    shown += [f"{name}: {part['status']}" for name, part in parts.items() if part["status"] != "done"]
    return "\n\n".join(part for part in shown if part)


def of_kind(parts: Parts, kind: str) -> Parts:
    """The parts of one kind that were measured."""
    return {name: part for name, part in parts.items() if name.split()[0] == kind and part["status"] == "done"}


def _correctness(parts: Parts) -> str:
    rows = []
    for name, part in parts.items():
        differences, errors = part["differences"], part.get("errors_against_float32", {})
        rows.append([
            name.removeprefix("correctness "),
            *(f"{differences[key]:.1e}" for key in ("hidden", "rollout_logprobs", "gradient")),
            *(f"{errors['gradient'][side]:.1e}" if errors else "" for side in ("shared", "whole")),
            "ok" if part["passed"] else "WRONG",
        ])  # fmt: skip
    header = ["shared against whole", "hidden", "rollout log-prob.", "gradient", "its error, shared", "whole", ""]
    return table(header, rows) if rows else ""


def _ceilings(parts: Parts) -> str:
    return "".join(
        f"this machine: {part['flops_per_second']['best'] / 1e12:.1f} TFLOP/s in a bfloat16 matrix product, "
        f"{part['bytes_per_second']['best'] / 1e12:.3f} TB/s in a copy (read and written)"
        for part in parts.values()
    )


def _step(name: str, part: dict[str, Any]) -> str:
    rows = []
    for side, one in part["sides"].items():
        if "seconds" not in one:
            rows.append([side, one["status"], *[""] * 9])
            continue
        total, peak, reached = one["seconds"]["total"], one["memory"]["peak_gib"], one.get("update_share_of_product")
        rows.append([
            side, f"{total['median']:.3f}", f"{total['min']:.3f}", *(f"{value:.0%}" for value in one["share"].values()),
            f"{one['sampled_tokens_per_second']:.0f}", f"{one['sampled_tokens_per_second_of_rollout']:.0f}",
            "-" if peak is None else f"{peak:.1f}", "-" if reached is None else f"{reached:.1%}", str(one["steps"]),
        ])  # fmt: skip
    header = [name, "median s", "min s", "rollout", "reward", "update", "tokens/s", "sampling", "GiB",
              "update of product", "steps"]  # fmt: skip
    ratios = []
    for side, ratio in part["ratios"].items():
        memory = f", peak memory {ratio['peak_memory']:.2f}x" if "peak_memory" in ratio else ""
        ratios.append(
            f"{side} / reckon (medians): step {ratio['total_median']:.2f}x, rollout {ratio['rollout_median']:.2f}x, "
            f"update {ratio['update_median']:.2f}x{memory}"
        )
    return "\n".join([table(header, rows), *ratios])


def _decode(parts: Parts) -> str:
    rows = [
        [f"{name} {side}", f"{one['tokens_per_second']:.0f}",
         *(f"{one[key]:{form}}" if key in one else "-" for key, form in (
             ("decode_tokens_per_second", ".0f"), ("step_ms", ".2f"), ("share_of_bandwidth", ".1%"))),
         f"{one['same_tokens_as_first_side']:.0%}", f"{one['first_call_seconds']:.1f}"]
        for name, part in parts.items() for side, one in part["sides"].items()
    ]  # fmt: skip
    header = ["replies", "tokens/s", "without prefill", "ms a step", "of bandwidth", "same tokens", "first call s"]
    return table(header, rows) if rows else ""


def _training(part: dict[str, Any]) -> str:
    arms = [
        [arm, str(line["step"]), *(f"{line[name]:.4f}" if name in line else "-" for name in SHOWN_CURVE)]
        for arm, one in part["arms"].items() for line in one["curve"]
    ]  # fmt: skip
    rows = [[row["name"], *(f"{row[name]:.4f}" for name in ("hit@10", "ndcg@10"))] for row in part["metrics"]["rows"]]
    curve = table(["arm", "updates", "NDCG@10", "Hit@10", "truncated", "reward"], arms)
    return "\n\n".join([curve, table(["test rows", "Hit@10", "NDCG@10"], rows)])


def _ranking(parts: Parts) -> str:
    lines = []
    for part in parts.values():
        catalog = part["shape"]["catalog"]
        for size, one in part["batches_of_users"].items():
            seconds = one["seconds"]
            lines.append(
                f"ranking {catalog:,} items, {size} users at a time: {one['users_per_second']:.1f} users/s "
                f"(reasoning {seconds['reasoning']:.3f} s, scoring {seconds['scoring']:.4f} s)"
            )
        items = part["item_encoding"]
        reached = f", {items['share_of_product']:.1%} of the matrix product" if "share_of_product" in items else ""
        lines.append(
            f"encoding items: {items['items_per_second']:.0f} items/s, "
            f"{items['tokens_per_second']:.0f} tokens/s{reached}"
        )
    return "\n".join(lines)
