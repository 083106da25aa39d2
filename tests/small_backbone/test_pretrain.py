"""A new backbone is a reproducible Hugging Face folder, and ranks by words before training."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn.functional import normalize
from transformers import AutoModelForCausalLM, AutoTokenizer

from reckon.config import load_config
from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.errors import ConfigError, DataError
from reckon.prompts.r2ec import MARKER
from reckon.small_backbone.next_item_texts import PretrainingText, item_documents, pretraining_texts
from reckon.small_backbone.pretrain import PretrainConfig, build_decoder, new_backbone, pretrain
from reckon.small_backbone.tokenizer import train_tokenizer

BRANDS = ("Kreg", "Stanley", "Dremel", "Makita", "Bosch", "Vestil", "Loctite", "Fluke", "Gorilla", "Norton")
THINGS = ("Pocket Screws", "Steel Staples", "Grinding Wheel", "Sanding Belt", "Drill Bit", "Hose Clamp")
FAST = ("hidden_size=64", "layers=2", "intermediate_size=64", "vocab_size=600", "steps=4", "batch_size=4")


def shop(path, notes=None) -> Dataset:
    """60 items, every brand makes every thing; each user stays with one brand."""
    titles = [f"{brand} {thing} {number}-Pack" for number, brand in enumerate(BRANDS) for thing in THINGS]
    items = pa.table({"item_id": [f"i{n}" for n in range(len(titles))], "title": titles})
    events = [
        (f"u{n}", f"i{n % len(BRANDS) * len(THINGS) + (n + step) % len(THINGS)}")
        for n in range(20)
        for step in range(4)
    ]
    interactions = pa.table({"user_id": [user for user, _ in events], "item_id": [item for _, item in events]})
    write_dataset(
        path,
        items,
        interactions,
        source={"name": "toy"},
        split="leave-one-out",
        tie_rule="in order",
        words={"item": "tool", "items": "tools", "action": "bought"},
        extra=None if notes is None else {"notes": notes},
    )
    return Dataset.load(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return shop(tmp_path_factory.mktemp("shop") / "data")


@torch.no_grad()
def vectors(model, tokenizer, texts: list[str]) -> torch.Tensor:
    """Final hidden state at the marker of each text."""
    states = [
        model.model(input_ids=torch.tensor([tokenizer.encode(text + MARKER)])).last_hidden_state[0, -1]
        for text in texts
    ]
    return normalize(torch.stack(states), dim=1)


def test_a_new_backbone_is_a_hugging_face_folder(dataset, tmp_path):
    folder = new_backbone(dataset, tmp_path / "backbone", overrides=FAST, progress=False)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    text = "bought:\n[Kreg Pocket Screws 0-Pack]\nreasoning:\nKreg" + MARKER
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.convert_tokens_to_ids(MARKER) == ids[-1]
    assert model(torch.tensor([ids])).logits.isfinite().all()
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert json.loads((folder / "reckon_purpose.json").read_text())["task"] == "ranking"


def test_weights_depend_on_the_seed(dataset, tmp_path):
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        new_backbone(dataset, tmp_path / name, seed=seed, overrides=FAST, progress=False)
        return AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict()

    torch.manual_seed(1)
    first = weights("first", 0)
    torch.manual_seed(2)
    again, other = weights("again", 0), weights("other", 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_before_any_training_items_of_the_same_brand_are_nearest(dataset):
    config = load_config(PretrainConfig, overrides=("vocab_size=600",))
    documents = item_documents(dataset, config.item_words)
    tokenizer = train_tokenizer(documents, config.vocab_size)
    items = vectors(build_decoder(tokenizer, documents, config, seed=0).eval(), tokenizer, documents)
    brands = [title.split()[0] for title in dataset.catalog.titles]
    order = (items @ items.T).fill_diagonal_(-1).argsort(dim=1, descending=True)[:, :5].numpy()
    same = np.mean([[brands[i] == brands[row] for i in near] for row, near in enumerate(order)])
    assert same > 0.8  # 5 of 59 other items share the brand: chance is 0.085


def test_before_any_training_the_latest_item_of_a_history_counts_most(dataset):
    config = load_config(PretrainConfig, overrides=("vocab_size=600", "half_life=8"))
    documents = item_documents(dataset, config.item_words)
    tokenizer = train_tokenizer(documents, config.vocab_size)
    model = build_decoder(tokenizer, documents, config, seed=0).eval()
    first, last = documents[0], documents[-1]
    read = vectors(model, tokenizer, [f"[{first}]\n[{last}]\n", f"[{last}]\n[{first}]\n", first, last])
    forward, backward, of_first, of_last = read
    assert forward @ of_last > forward @ of_first
    assert backward @ of_first > backward @ of_last


def test_pretraining_lowers_the_loss_on_the_written_part(dataset):
    config = load_config(PretrainConfig, overrides=(*FAST, "steps=60", "learning_rate=0.003"))
    texts = pretraining_texts(dataset, item_words=config.item_words, seed=0)
    tokenizer = train_tokenizer([text.prompt + text.written for text in texts], config.vocab_size)
    model = build_decoder(tokenizer, item_documents(dataset, config.item_words), config, seed=0)
    losses = pretrain(model, tokenizer, texts, config, seed=0, progress=False)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_notes_of_the_data_set_replace_the_texts_made_from_it(tmp_path):
    notes = pa.table({"prompt": ["read:\n[A]\n", ""], "text": ["calm<answer>B", "C is a calm book"]})
    texts = pretraining_texts(shop(tmp_path / "data", notes), item_words=24, seed=0)
    assert texts == [PretrainingText("read:\n[A]\n", "calm<answer>B"), PretrainingText("", "C is a calm book")]


def test_notes_are_made_of_training_interactions_alone(dataset):
    """Each user's last two items are test and validation: the first is the prompt, the second what is written."""
    notes = [text for text in pretraining_texts(dataset, item_words=24, seed=0) if text.prompt]
    examples = dataset.examples("train")
    assert len(notes) == len(examples) == 20
    for note, example in zip(notes, examples, strict=True):
        title = dataset.catalog.titles[example.target]
        assert title not in note.prompt and note.ends_at_marker
        assert set(note.written.removesuffix(MARKER).split()) <= set(title.split())
    assert [number for number, note in enumerate(notes) if not note.written] == [3, 7, 11, 15, 19]


def test_the_anchor_keeps_pretraining_from_losing_the_lexical_start(dataset):
    def drift(anchor: float) -> float:
        config = load_config(PretrainConfig, overrides=(*FAST, "steps=40", "learning_rate=0.003", f"anchor={anchor}"))
        texts, documents = pretraining_texts(dataset, item_words=24, seed=0), item_documents(dataset, 24)
        tokenizer = train_tokenizer([text.prompt + text.written for text in texts], config.vocab_size)
        model = build_decoder(tokenizer, documents, config, seed=0).eval()
        before = vectors(model, tokenizer, documents)
        pretrain(model, tokenizer, texts, config, seed=0, progress=False)
        return float((1 - (before * vectors(model, tokenizer, documents)).sum(dim=1)).mean())

    assert drift(anchor=10) < 0.3 * drift(anchor=0)


def test_an_existing_folder_is_refused_before_training_and_not_changed(dataset, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        new_backbone(dataset, tmp_path, overrides=FAST, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_pretraining_leaves_no_folder(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("reckon.small_backbone.pretrain.pretrain", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        new_backbone(dataset, tmp_path / "deep" / "backbone", overrides=FAST, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("override", ["hidden_size=100", "steps=-1", "vocab_size=100", "half_life=0", "layer=3"])
def test_a_wrong_setting_is_refused(override):
    with pytest.raises(ConfigError):
        load_config(PretrainConfig, overrides=(override,))


def test_a_backbone_started_from_another_keeps_its_tokenizer_and_states(dataset, tmp_path):
    first = new_backbone(dataset, tmp_path / "first", overrides=(*FAST, "steps=0"), progress=False)
    second = new_backbone(
        dataset, tmp_path / "second", start=first, overrides=("steps=30", "batch_size=4"), progress=False
    )
    documents = item_documents(dataset, 0)
    states = []
    for folder in (first, second):
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
        states.append(vectors(model.eval(), tokenizer, documents))
    assert (tmp_path / "first" / "tokenizer.json").read_text() == (tmp_path / "second" / "tokenizer.json").read_text()
    assert not torch.equal(states[0], states[1])
    assert float((states[0] * states[1]).sum(dim=1).mean()) > 0.8, "the anchor holds what the start knew"


def test_notes_name_the_labels_of_the_next_item(tmp_path):
    genres = [["Sea"], ["War", "Sea"], None, ["Sea"], ["Sea"]]
    items = pa.table({"item_id": list("abcde"), "title": list("ABCDE"), "genres": genres})
    events = pa.table({"user_id": ["u"] * 5 + ["v"] * 5, "item_id": list("abcde") + list("bcade")})
    words = {"item": "book", "items": "books", "action": "read"}
    write_dataset(
        tmp_path / "x", items, events, source={"name": "toy"}, split="leave-one-out", tie_rule="order", words=words
    )
    texts = pretraining_texts(Dataset.load(tmp_path / "x"), item_words=0, seed=0)
    told = {text.written for text in texts if text.prompt and text.written}
    assert told and told <= {f"Sea{MARKER}", f"War Sea{MARKER}", f"unknown{MARKER}"}


def test_the_folder_is_read_back_with_the_same_tokens_as_it_was_pretrained_on(dataset, tmp_path):
    """AutoTokenizer has other rules for some architectures: a model would then read tokens it was not trained on."""
    folder = new_backbone(dataset, tmp_path / "b", overrides=FAST, progress=False)
    documents = item_documents(dataset, 24)
    texts = documents + [text.prompt + text.written for text in pretraining_texts(dataset, item_words=24, seed=0)]
    trained = train_tokenizer(texts, 600)
    loaded = AutoTokenizer.from_pretrained(folder)
    assert len(loaded) == len(trained)
    for text in [*texts, "It's 1/2-Inch, 2012\nnaïve\n\n x"]:
        assert loaded.encode(text) == trained.encode(text)
