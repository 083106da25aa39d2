"""The first hour of a newcomer with a shop's table: each command of docs/first-hour.md, with its seconds.

Run it:  python benchmarks/first_hour.py [--json FILE] [--out DIR] [--quick]

The shop is written anew: 300 customers, 200 products of which many share a title, and an orders file as exports are:
views beside orders, rows twice, ids with blanks, rows without a time, customers who buy the same thing again. Each
command runs as a user types it, in a process of its own with its default threads, one after the other.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import environment, table, write_json

KINDS = (
    "Mug",
    "Bowl",
    "Plate",
    "Vase",
    "Jug",
    "Tray",
    "Lamp",
    "Clock",
    "Throw",
    "Cushion",
    "Rug",
    "Basket",
    "Candle",
    "Frame",
)
STYLES = ("Blue Ceramic", "White Linen", "Dark Oak", "Brushed Brass", "Green Glass", "Woven Willow")
MAKERS = ("Havel", "Norden", "Olmo", "Perch")
DAY = 86_400
START = 1_700_000_000  # seconds since 1970 of the first order


@dataclass(frozen=True)
class Size:
    """How large the shop is, and what shortens the two long commands."""

    customers: int
    products: int
    orders: int
    backbone: Sequence[str]
    training: Sequence[str]


FULL = Size(300, 200, 12, ("steps=200",), ())
QUICK = Size(
    *(24, 20, 6),
    ("steps=2", "hidden_size=64", "heads=4", "layers=1", "intermediate_size=64", "vocab_size=600", "batch_size=4"),
    ("training.max_steps=2", "training.eval_steps=1", "training.validation_size=4", "recpo.num_generations=2"),
)


def write_shop(folder: Path, size: Size, seed: int = 0) -> None:
    """Write `orders.csv` and `products.csv`.

    Every customer likes one style. What is bought next is often the companion of the last thing: a tray after a mug.
    """
    rng = random.Random(seed)
    companions = dict(zip(KINDS, rng.sample(KINDS, len(KINDS)), strict=True))  # any kind, itself too
    products = []
    for number in range(size.products):
        kind, style = KINDS[number % len(KINDS)], STYLES[number // len(KINDS) % len(STYLES)]
        products.append(
            (f"P-{number:04d}", f"{style} {kind}", rng.choice(MAKERS), f"{rng.randint(5, 90)}.90", kind, style)
        )
    rows = []
    titles, kind_of = {one[0]: one[1] for one in products}, {one[0]: one[4] for one in products}
    for customer in range(size.customers):
        style, bought = rng.choice(STYLES), list[str]()
        moment = START + rng.randrange(200 * DAY)
        for _ in range(rng.randint(3, size.orders)):
            moment += rng.randrange(20 * DAY)
            chance = rng.random()
            offered = [one[0] for one in products]
            if bought and chance < 0.25:
                offered = bought
            elif bought and chance < 0.75:
                offered = [one[0] for one in products if one[4] == companions[kind_of[bought[-1]]]] or offered
                offered = [sku for sku in offered if style in titles[sku]] or offered
            elif chance < 0.9:
                offered = [one[0] for one in products if one[5] == style] or offered
            sku = rng.choice(offered)
            bought.append(sku)
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)) if rng.random() > 0.02 else ""
            who = f"C{customer:03d} " if rng.random() < 0.05 else f"C{customer:03d}"
            rows.append((who, sku, "order", when))
            if rng.random() < 0.5:  # a look at something else
                rows.append((f"C{customer:03d}", rng.choice(products)[0], "view", when))
            if rng.random() < 0.05:
                rows.append(rows[-1])
    rng.shuffle(rows)
    for name, header, lines in (
        ("orders.csv", ("customer", "sku", "event", "ordered at"), rows),
        ("products.csv", ("sku", "name", "maker", "price"), [one[:4] for one in products]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=";").writerows([header, *lines])


def commands(size: Size) -> dict[str, list[str]]:
    """The commands of docs/first-hour.md in their order, without `reckon`; paths are relative to the shop's folder."""
    changes = {
        name: [word for one in values for word in ("--set", one)]
        for name, values in (("backbone", size.backbone), ("training", size.training))
    }
    return {
        "data prepare": [
            *("data", "prepare", "table", "orders.csv", "data/shop"),
            *("--map", "user_id=customer", "--map", "item_id=sku", "--map", "timestamp=ordered at"),
            *("--items", "products.csv", "--item-map", "item_id=sku", "--item-map", "title=name"),
            *("--where", "event = 'order'", "--bad-rows", "drop", "--words", "product,products,bought"),
        ],
        "data describe": ["data", "describe", "data/shop"],
        "backbone new": ["backbone", "new", "--data", "data/shop", "--out", "backbones/shop", *changes["backbone"]],
        "train": [
            *("train", "r2ec", "--data", "data/shop", "--backbone", "backbones/shop", "--out", "runs/shop"),
            *("--preset", "quick", *changes["training"]),
        ],
        "recommend": ["recommend", "runs/shop", "--user", "C007", "--k", "5"],
        "recommend, typed": ["recommend", "runs/shop", "--history", "P-0001; P-0003", "--k", "5"],
        "evaluate": ["evaluate", "runs/shop"],
    }


def main() -> None:
    """Run every command and print its seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds and where they were measured")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the shop and what was made of it here")
    parser.add_argument("--quick", action="store_true", help="a tiny shop: only to see that it runs")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory() as spare:
        folder = asked.out or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        write_shop(folder, size)
        seconds = {name: run(words, folder) for name, words in commands(size).items()}
    seconds["together"] = sum(seconds.values())
    rows = [[name, f"{spent:.0f}" if spent >= 10 else f"{spent:.1f}"] for name, spent in seconds.items()]
    print(table(["command", "seconds"], rows))
    if asked.json:
        write_json(asked.json, {"environment": environment(), "seconds": seconds})


def run(words: Sequence[str], folder: Path) -> float:
    """Seconds of one command; what it prints is shown."""
    print(f"$ reckon {' '.join(words)}", flush=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "reckon", *words], cwd=folder, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
