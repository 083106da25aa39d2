"""How replies to a method's prompts end and whether they parse, before any training.

Run it:  python benchmarks/prompts.py --backbone DIR --data DIR [--method NAME] [--rows N] [--tokens N]
         [--preset NAME] [--set SECTION.FIELD=VALUE ...] [--seed N] [--json FILE] [--quick]

The prompts are the method's own with the settings of a preset (`laptop` where the method has it, else `paper`), changed
by --set, on a fixed sample of validation rows. The model computes in float32. Every prompt gets a greedy reply, and one
that is sampled as the settings say. Columns of the table:

    marker, turn, cut  share of replies that ended by the method's marker, by the end of the turn, out of budget
    tokens             mean number of tokens that the model wrote
    whole              share that ended by itself and whose text (RPORec: reasoning) ends as a sentence does
    distinct, openings share of different replies, and of different first OPENING words
    parsed             share of replies that parse; a dash where a method's replies need no parsing
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import environment, table, write_json

METHODS = ("r2ec", "rporec", "reczero")
SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")
OPENING = 4  # words
EXAMPLES = 3  # replies shown
COLUMNS = ("marker", "turn", "cut", "tokens", "whole", "distinct", "openings", "parsed")


def rates(
    texts: Sequence[str], finish: Sequence[str], lengths: Sequence[int], problems: Sequence[str] | None = None
) -> dict[str, float | None]:
    """The table's columns for n replies.

    Args:
        texts: reasoning of each reply, without marker and end of turn.
        finish: as in `Rollouts.finish`.
        lengths: sampled tokens of each reply.
        problems: for replies that need parsing, what is wrong with each, empty where it parses.
    """
    n, ended = len(texts), Counter(finish)
    whole = [
        reason != "length" and bool(SENTENCE_END.search(text.strip()))
        for text, reason in zip(texts, finish, strict=True)
    ]
    openings = {" ".join(text.split()[:OPENING]) for text in texts}
    return {
        "marker": ended["marker"] / n,
        "turn": ended["end"] / n,
        "cut": ended["length"] / n,
        "tokens": sum(lengths) / n,
        "whole": sum(whole) / n,
        "distinct": len(set(texts)) / n,
        "openings": len(openings) / n,
        "parsed": None if problems is None else sum(not problem for problem in problems) / n,
    }


class Prompts:
    """An untrained model of a method, with its prompts of validation rows."""

    def __init__(self, name: str, backbone: Path, data: Path, preset: str | None, settings: Sequence[str]) -> None:
        from reckon.config import load_config
        from reckon.data import Dataset
        from reckon.methods.registry import method_named
        from reckon.models.backbone import load_backbone

        method = method_named(name)
        preset = preset or ("laptop" if "laptop" in method.presets else "paper")
        self.config = load_config(method.config, None, settings, method.preset(preset))
        self.name, self.preset, self.dataset = name, preset, Dataset.load(data)
        loaded = load_backbone(backbone, dtype="float32")
        self.model = method.model.from_backbone(loaded, self.dataset, self.config)

    def ids(self, rows: int, seed: int) -> list[list[int]]:
        """Token ids of the prompts of a fixed sample of validation rows."""
        from reckon.data.ratings import rating_examples

        window = self.config.prompt.window
        if self.name == "reczero":
            examples = rating_examples(self.dataset, "valid", window, self.config.prompt.item_window)
            return [self.model.prompt(example).ids for example in examples.sample(rows, seed)]
        return [self.model.prompt_ids(example) for example in self.dataset.examples("valid", window).sample(rows, seed)]

    def parser(self) -> Callable[[str], tuple[str, str | None]]:
        """Function of a reply to its reasoning and its problem: empty where it parses, None where nothing is parsed."""
        from reckon.prompts import r2ec
        from reckon.prompts.rating_reply import parse_rating
        from reckon.prompts.rporec import parse_reply

        def rporec(text: str) -> tuple[str, str]:
            parsed = parse_reply(text)
            return parsed.reasoning, parsed.problem or ""

        return {
            "r2ec": lambda text: (text.split(r2ec.MARKER)[0], None),
            "rporec": rporec,
            "reczero": lambda text: (text, parse_rating(text, self.model.scale).problem or ""),
        }[self.name]

    def replies(self, prompts: list[list[int]], sampling: Any, seed: int) -> dict[str, Any]:
        """One reply to each prompt: rates, problems by number, and the first EXAMPLES replies."""
        import torch

        backbone, parse = self.model.backbone, self.parser()
        generator = torch.Generator(device=backbone.device).manual_seed(seed)
        rolled = self.model.engine.sample(prompts, sampling, generator=generator)
        written = [
            str(backbone.tokenizer.decode(ids[:length].tolist(), skip_special_tokens=True))
            for ids, length in zip(rolled.reply_ids, rolled.lengths.tolist(), strict=True)
        ]
        texts, problems = zip(*map(parse, written), strict=True)
        known = None if problems[0] is None else problems
        return {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "rates": rates(texts, rolled.finish, rolled.sampled.sum(dim=1).tolist(), known),
            "problems": dict(Counter(problem for problem in problems if problem)),
            "examples": written[:EXAMPLES],
        }


def measure(asked: Prompts, rows: int, seed: int) -> dict[str, Any]:
    """Greedy and sampled replies to the same prompts."""
    prompts, sampled = asked.ids(rows, seed), asked.config.rollout
    greedy = replace(sampled, temperature=0.0, top_k=0, top_p=1.0)
    return {
        "rows": len(prompts),
        "prompt_tokens": sum(map(len, prompts)) / len(prompts),
        "budget": sampled.max_completion_length,
        "replies": {
            "greedy": asked.replies(prompts, greedy, seed),
            "sampled": asked.replies(prompts, sampled, seed),
        },
    }


def render(result: dict[str, Any]) -> str:
    """The table and the examples."""
    lines = [
        f"{result['method']}, preset {result['preset']} {' '.join(result['settings'])}: {result['rows']} validation "
        f"rows, {result['prompt_tokens']:.0f} prompt tokens, at most {result['budget']} reply tokens",
        "",
        table(["replies", *COLUMNS], [[kind, *_cells(found["rates"])] for kind, found in result["replies"].items()]),
    ]
    for kind, found in result["replies"].items():
        sampling = "" if kind == "greedy" else f", temperature {found['temperature']:g}, top-k {found['top_k']}"
        lines += ["", f"{kind}{sampling}" + (f", problems {found['problems']}" if found["problems"] else "")]
        lines += [f"  {text!r}" for text in found["examples"]]
    return "\n".join(lines)


def _cells(found: dict[str, float | None]) -> list[str]:
    values = ((name, found[name]) for name in COLUMNS)
    return ["-" if value is None else f"{value:.1f}" if name == "tokens" else f"{value:.2f}" for name, value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="folder of a causal language model")
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--method", choices=METHODS, default="r2ec")
    parser.add_argument("--preset", help="settings; default: laptop where the method has it, else paper")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--rows", type=int, default=32, help="validation rows")
    parser.add_argument("--tokens", type=int, help="most tokens of a reply; default: as in the settings")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of rows and of the sampled replies")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="four rows, eight tokens: does it run at all?")
    options = parser.parse_args()
    rows, tokens = (4, 8) if options.quick else (options.rows, options.tokens)
    settings = options.settings + ([] if tokens is None else [f"rollout.max_completion_length={tokens}"])
    asked = Prompts(options.method, options.backbone, options.data, options.preset, settings)
    result = {
        "benchmark": "prompts", **environment(), "model": options.backbone.name, "data": options.data.name,
        "method": options.method, "preset": asked.preset, "settings": settings, "seed": options.seed,
    }  # fmt: skip
    result |= measure(asked, rows, options.seed)
    print(render(result))
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
