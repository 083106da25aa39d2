"""One finished run behind the service that predicts ratings.

Entry points: `ServedRater.load`, `example`, `writer`. Replies are written by the service's model thread, as those of
rankings are (`reckon.serving.models.worker`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from reckon.data import Catalog
from reckon.data.ratings import Rated, RatingExample
from reckon.methods.reczero.model import RecZeroModel
from reckon.methods.registry import load_rating_model
from reckon.progress import quiet_transformers
from reckon.prompts.rating_reply import parse_rating
from reckon.rollout.decoding import Decoding
from reckon.rollout.sampling import SamplingConfig
from reckon.serving.models.catalogs import changed_items, rows_of
from reckon.serving.models.served_run import version_of
from reckon.serving.store.records import Item


@dataclass(frozen=True, slots=True)
class PastRating:
    """One rating of a history, by ids."""

    user_id: str
    item_id: str
    rating: float
    time: int | None
    summary: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class RatingReply:
    """A reply that has ended."""

    text: str
    rating: float | None
    """None where the reply has no valid form."""
    problem: str | None
    """Why it has none."""
    truncated: bool
    tokens: int
    """Sampled reply tokens."""


class RatingWriter:
    """How replies are written: greedy, or sampled as in training."""

    def __init__(self, model: RecZeroModel, sampling: SamplingConfig) -> None:
        self.model, self._sampling = model, sampling

    def begin(self, examples: Sequence[RatingExample]) -> Decoding:
        """Begin a reply to each example; without gradients."""
        return self.model.engine.begin([self.model.prompt(example).ids for example in examples], self._sampling)

    def shown(self, written: list[int], ended: bool) -> str:
        """As `RankingModel.shown`: a reply of ratings is shown as it is."""
        return str(self.model.backbone.tokenizer.decode(written, skip_special_tokens=True))

    def written(self, example: RatingExample, decoding: Decoding, row: int) -> RatingReply:
        """The reply of one row that has ended."""
        rollouts = decoding.rollouts([row])
        text = self.model.replies(rollouts)[0]
        parsed = parse_rating(text, self.model.scale)
        cut = bool(rollouts.truncated[0])
        return RatingReply(text, parsed.rating, parsed.problem, cut, int(rollouts.lengths[0]))


class ServedRater:
    """A run by its name in answers, with a catalog that changes."""

    def __init__(self, name: str, version: str, model: RecZeroModel) -> None:
        self.name, self.version, self.model = name, version, model
        model.backbone.model.eval()
        budget = model.config.rollout.max_completion_length
        self.greedy = RatingWriter(model, SamplingConfig(temperature=0, max_completion_length=budget))
        self.sampled = RatingWriter(model, model.config.rollout)
        self.hidden: frozenset[str] = frozenset()
        self._take(model.catalog)

    @classmethod
    def load(cls, run: Path, name: str) -> "ServedRater":
        """Load a finished run that predicts ratings.

        Raises:
            CheckpointError: it is not finished, damaged, or ranks.
        """
        with quiet_transformers():
            model = load_rating_model(run)
        return cls(name, version_of(run), model)

    def example(
        self,
        item_id: str,
        user_id: str,
        own: Sequence[PastRating],
        others: Sequence[PastRating],
        user_mean: float | None,
        item_mean: float | None,
    ) -> RatingExample:
        """What is known before a rating that has not been given, oldest first; items that the run does not know are
        left out of the user's ratings."""
        prompt = self.model.config.prompt
        return RatingExample(
            user_id=user_id,
            item_index=self.rows[item_id],
            user_history=self._rated(own)[max(0, len(own) - prompt.window) :],
            item_history=self._rated(others)[max(0, len(others) - prompt.item_window) :],
            user_mean=user_mean,
            item_mean=item_mean,
            rating=float("nan"),
            time=None,
        )

    def _rated(self, ratings: Sequence[PastRating]) -> tuple[Rated, ...]:
        return tuple(
            Rated(one.user_id, self.rows[one.item_id], one.rating, one.time, one.summary, one.text)
            for one in ratings
            if one.item_id in self.rows
        )

    # -- the catalog --------------------------------------------------------------------------------------------

    def put_items(self, items: Sequence[Item]) -> None:
        """Add items, or replace those of the same id."""
        if not items:
            return
        known = self.model.catalog.table
        table = pa.concat_tables([known, rows_of(items, self.model.catalog).cast(known.schema)])
        latest = {item_id: row for row, item_id in enumerate(table["item_id"].to_pylist())}
        # Examples that wait for their turn name items by their row, so no row moves.
        self._take(Catalog(table.take(pa.array(list(latest.values()), pa.int64()))))
        self.hidden -= {item.id for item in items}

    def hide_items(self, item_ids: Sequence[str]) -> None:
        """Items that are not rated any more; histories may still hold them."""
        self.hidden |= set(item_ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.rows and item_id not in self.hidden

    def follow(self, items: Sequence[Item]) -> int:
        """Make the catalog that of the store; how many items were new or another."""
        fresh = changed_items(items, self.model.catalog, self.rows)
        self.hidden = frozenset(set(self.rows) - {item.id for item in items})
        self.put_items(fresh)
        return len(fresh)

    def check(self, items: Sequence[Item]) -> None:
        """Raises DataError where a value does not fit its column."""
        rows_of(items, self.model.catalog)

    def _take(self, catalog: Catalog) -> None:
        self.model.catalog = catalog
        self.rows = {item_id: row for row, item_id in enumerate(catalog.ids)}
