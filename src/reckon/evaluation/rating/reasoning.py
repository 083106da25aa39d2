"""Effect of a model's reasoning on ratings: the same rows with its own, another user's, shuffled and no reasoning.

Entry point: `reasoning_effect`, the counterpart of `reckon.evaluation.ranking.reasoning` for ratings. The reasoning is
the part of a reply before `<rate>`. In every arm the model reads the prompt, a reasoning and `<rate>`, and writes the
number, so the arms differ only in the reasoning; `none` has an empty one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from reckon.data.examples import FloatArray
from reckon.data.ratings import RatingExamples
from reckon.data.scale import Scale
from reckon.errors import DataError
from reckon.evaluation.ranking.reasoning import ARMS, ROWS_AT_ONCE, others
from reckon.evaluation.rating.measure import DIFFERENCES, METRICS
from reckon.methods.reczero.model import RecZeroModel
from reckon.metrics.rating import RatingResult, rating_summary
from reckon.prompts.blocks import shuffled_words
from reckon.prompts.rating_reply import NUMBER, REPLY_END
from reckon.rollout import SamplingConfig

OPENING = "<rate>"
ANSWER_TOKENS = 16  # tokens for a number and the closing tag


def reasoning_effect(
    model: RecZeroModel, examples: RatingExamples, replies: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """MAE and RMSE of the same rows in each arm, and each arm's difference from the model's own reasoning.

    Args:
        model: the model that wrote the replies.
        examples: at least two rows, with the windows of its prompts.
        replies: its reply for each row.
        seed: who gets whose reasoning, and the order of shuffled words.

    Returns:
        `rows`, and `arms`: for each of ARMS, per metric, `mean`, `ci` and, except for `own`, `drop` (own minus arm,
        paired; below 0 where the own reasoning is better) with `drop_ci` and `drop_p`. An unreadable number has the
        row's largest possible error; `parse_rate` is the share of readable numbers. The arm with another user's
        reasoning is left out if all rows belong to one user.

    Raises:
        DataError: fewer than two rows.
    """
    if len(examples) < 2:
        raise DataError("rows", "are fewer than two, so no reasoning can be exchanged", "give more rows")
    rng = np.random.default_rng(seed)
    own = [reply.partition(OPENING)[0] for reply in replies]
    texts = {ARMS[0]: own}
    if (other := others(examples.user_ids, rng)) is not None:
        texts[ARMS[1]] = [own[row] for row in other]
    texts |= {ARMS[2]: [shuffled_words(text, rng) for text in own], ARMS[3]: [""] * len(own)}
    results = {
        arm: RatingResult(
            arm, _ratings(model, examples, given), examples.ratings, model.scale, user_ids=examples.user_ids
        )
        for arm, given in texts.items()
    }
    return {"rows": len(own), "arms": {arm: _numbers(found, results[ARMS[0]]) for arm, found in results.items()}}


def _ratings(model: RecZeroModel, examples: RatingExamples, texts: Sequence[str]) -> FloatArray:
    """[R] number that the model writes after each prompt, the given text and the opening tag; NaN for none."""
    sampling = SamplingConfig(temperature=0, max_completion_length=ANSWER_TOKENS)
    tokenizer, found = model.backbone.tokenizer, []
    for start in range(0, len(examples), ROWS_AT_ONCE):
        block = range(start, min(start + ROWS_AT_ONCE, len(examples)))
        given = [tokenizer.encode(texts[row] + OPENING, add_special_tokens=False) for row in block]
        prompts = [model.prompt(examples[row]).ids + ids for row, ids in zip(block, given, strict=True)]
        written = model.replies(model.engine.sample(prompts, sampling))
        found += [stated_number(text, model.scale) for text in written]
    return np.array(found)


def stated_number(written: str, scale: Scale) -> float:
    """The number before the closing tag, by the rules of `parse_rating`; NaN where there is no number on the scale."""
    text, closed, _ = written.partition(REPLY_END)
    if not closed or not NUMBER.fullmatch(text.strip()):
        return float("nan")
    rating = float(text)
    return rating if scale.contains(rating) else float("nan")


def _numbers(result: RatingResult, own: RatingResult) -> dict[str, Any]:
    summary = rating_summary(result)
    numbers: dict[str, Any] = {}
    for metric in METRICS:
        numbers[metric] = {"mean": summary[metric], "ci": summary[f"{metric}_ci"]}
        if result is not own:
            drop = DIFFERENCES[metric](own, result)
            numbers[metric] |= {"drop": drop.difference, "drop_ci": [drop.lo, drop.hi], "drop_p": drop.p_value}
    return numbers | {"parse_rate": {"mean": summary["parse_rate"]}}
