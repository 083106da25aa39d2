"""BIGRec recommends the items with the titles nearest to the written title."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import shelf
from support.writers import WRITER

from reckon.baselines import BIGRec, Popularity
from reckon.baselines.generative.bigrec import BIGRecConfig, weighted_by_popularity
from reckon.baselines.generative.title_writer import TitleWriter
from reckon.data.prepare.write import write_dataset
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.prompts.next_title import messages

CONFIG = BIGRecConfig(**WRITER | {"max_epochs": 12, "patience": 12})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", users=36, length=8)


@pytest.fixture(scope="module")
def bigrec(data):
    return BIGRec.fit(data, CONFIG, exclude_seen=False, seed=0)


def histories(data, rows=8):
    examples = data.examples("test", 3)
    return [examples.history(row) for row in range(rows)]


@pytest.mark.parametrize("item", range(len(shelf.TITLES)))
def test_the_item_whose_title_was_written_comes_first(bigrec, monkeypatch, item):
    monkeypatch.setattr(bigrec.writer, "write", lambda histories: [bigrec.catalog.titles[item]] * len(histories))
    monkeypatch.setattr(bigrec, "gamma", 3.0)
    assert bigrec.recommend([[0, 1]], 1)[0].items == [item]


def test_a_title_outside_the_catalog_has_a_distance_to_every_item(bigrec, monkeypatch):
    monkeypatch.setattr(bigrec.writer, "write", lambda histories: ["The Quiet Tide", ""])
    scores = bigrec.scores([np.array([0]), np.array([1])])
    assert scores.shape == (2, len(shelf.TITLES)) and bool(scores.isfinite().all())


def test_it_learns_to_write_the_next_title(bigrec, data):
    examples = data.examples("test")
    popularity = Popularity.fit(data, exclude_seen=False)
    assert (bigrec.ranks(examples).ranks == 1).mean() > 0.5 > 3 * (popularity.ranks(examples).ranks == 1).mean()
    assert set(bigrec.writer.write(histories(data))) & set(shelf.TITLES)


def test_training_lowers_the_loss_of_titles_that_were_held_out(bigrec, data):
    start = TitleWriter.fit(data, replace(CONFIG, max_epochs=0), seed=0)
    assert bigrec.writer.loss_of(data.examples("test", 3)) < 0.7 * start.loss_of(data.examples("test", 3))


def test_the_loss_counts_only_the_tokens_of_the_title(bigrec, data):
    """Token by token from plain forward passes over prompt and title."""
    examples, writer = data.examples("test", 3).subset([0, 5]), bigrec.writer
    nats = []
    for row in range(2):
        (prompt,) = writer.prompts([examples.history(row)])
        title = writer.title_tokens[examples.targets[row]]
        with torch.no_grad():
            logits = writer.backbone.causal_lm(input_ids=torch.tensor([prompt + title])).logits[0].log_softmax(-1)
        nats.append(-sum(float(logits[len(prompt) - 1 + n, token]) for n, token in enumerate(title)))
    assert writer.loss_of(examples) == pytest.approx(sum(nats) / 2, rel=1e-4)


def test_micro_batch_size_does_not_change_what_is_learned(data):
    settings = replace(CONFIG, max_epochs=1, batch_size=12)
    whole, parts = (TitleWriter.fit(data, replace(settings, micro_batch_size=n), seed=0) for n in (12, 5))
    assert whole.loss_of(data.examples("valid", 3)) == pytest.approx(parts.loss_of(data.examples("valid", 3)), rel=1e-3)


def test_distances_are_weighted_by_popularity():
    distances, counts = torch.tensor([[1.0, 2.0, 3.0, 5.0]]), torch.tensor([0, 10, 5, 20])
    # 0, 1/4, 1/2, 1 between nearest and farthest; popularity 0, 1/2, 1/4, 1.
    expected = [0.0, 0.25 / 1.5**2, 0.5 / 1.25**2, 1 / 2**2]
    assert weighted_by_popularity(distances, counts, 2.0)[0].tolist() == pytest.approx(expected)


def test_gamma_zero_keeps_the_order_of_distances():
    distances, counts = torch.rand(5, 9, generator=torch.Generator().manual_seed(0)), torch.arange(9)
    assert torch.equal(weighted_by_popularity(distances, counts, 0.0).argsort(), distances.argsort())


def test_equal_distances_and_counts_give_finite_distances():
    assert weighted_by_popularity(torch.full((1, 3), 2.0), torch.tensor([4, 4, 4]), 1.0).tolist() == [[0, 0, 0]]


def test_a_given_weight_of_popularity_is_not_tuned(data):
    assert BIGRec.fit(data, replace(CONFIG, gamma=7.0, max_epochs=0)).gamma == 7.0


def test_the_embedding_of_a_title_does_not_depend_on_its_batch(bigrec):
    alone = bigrec.writer.embed(["Calm Sea"])
    torch.testing.assert_close(bigrec.writer.embed(["Calm Sea", "The Red Book of the Next Sea"])[:1], alone)


def test_prompts_hold_the_history_and_never_the_target(data):
    (message,) = messages(["Calm Sea", "Dark Crime"], data.words, "compact")
    assert message["content"] == "read:\n[Calm Sea]\n[Dark Crime]\nnext book:"
    assert "nothing yet" in messages([], data.words, "instruct")[0]["content"]


def test_a_catalog_without_titles_is_refused(data, tmp_path):
    blank = data.catalog.table.set_column(1, "title", [[""] * len(data.catalog)])
    events = pq.read_table(data.path / "interactions.parquet")
    info = {"source": {"name": "blank"}, "split": "leave-one-out", "words": data.words, "tie_rule": "none"}
    write_dataset(tmp_path / "data", blank, events, **info)
    with pytest.raises(DataError, match="has no titles that differ"):
        BIGRec.fit(type(data).load(tmp_path / "data"), CONFIG)


@pytest.mark.parametrize("part", ["writer.json", "model/config.json"])
def test_a_saved_writer_without_a_part_is_refused(bigrec, data, tmp_path, part):
    bigrec.save_pretrained(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(CheckpointError):
        BIGRec.from_pretrained(tmp_path, data.catalog)


def test_any_saved_backbone_can_be_used(data, tmp_path):
    folder = shelf.backbone_folder(tmp_path / "qwen", "qwen2", spread=1.0)
    fitted = BIGRec.fit(data, replace(CONFIG, backbone=str(folder), max_epochs=1, gamma=0.0))
    assert len(fitted.recommend([[0, 1]], 3)[0].items) == 3


@pytest.mark.parametrize("field", ["gamma", "window", "learning_rate", "max_epochs", "micro_batch_size"])
def test_settings_out_of_range_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=f"{field} = -1"):
        replace(CONFIG, **{field: -1})
