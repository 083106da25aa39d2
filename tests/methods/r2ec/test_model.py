"""R2ec as a recommender: results, storage, and changes of the catalog."""

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from support.shelf import TITLES, recommender
from support.tiny import FAMILIES

from reckon.data import Event, Example
from reckon.errors import CheckpointError, DataError
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.config import preset
from reckon.models.item_table import ItemTable
from reckon.prompts.r2ec import MARKER

HISTORIES = [[0, 5, 3], [7], [], [2, 2, 9, 11, 4]]
ARMS = ("full", "no-reasoning")


@pytest.fixture(params=ARMS)
def model(request, tmp_path):
    return recommender(tmp_path, request.param)[0]


def test_scores_are_cosines_over_the_temperature(model):
    answer = model.recommend([[0, 5]], 3)[0]
    assert all(abs(score) <= 1 / model.config.head.tau + 1e-4 for score in answer.scores)


def test_exclude_seen_defaults_to_the_setting_of_training(model):
    assert not set(model.recommend([[0, 5, 3]], 100)[0].items) & {0, 5, 3}
    model.config = replace(model.config, head=replace(model.config.head, exclude_seen=False))
    assert set(model.recommend([[0, 5, 3]], 100)[0].items) >= {0, 5, 3}


def test_only_the_arm_that_reasons_has_reasoning(model):
    answer = model.recommend([[0, 5]])[0]
    assert (answer.reasoning is not None) == model.config.reasons
    assert MARKER not in (answer.reasoning or "")


def test_the_reasoning_holds_no_special_tokens(tmp_path):
    """A model that ends its turn without a marker would show its end token to a reader."""
    model = recommender(tmp_path)[0]
    end, logits = model.backbone.tokenizer.eos_token_id, model.backbone.logits
    steps = iter([17, 18, end, 17, 18])

    def forced(hidden):
        biased = logits(hidden).clone()
        biased[:, next(steps, 17)] += 1e4
        return biased

    model.backbone.logits = forced
    answer = model.recommend([[0, 5]])[0]
    assert not answer.truncated and "<eos>" not in answer.reasoning
    assert answer.reasoning == model.backbone.tokenizer.decode([17, 18]).strip()


def test_a_reply_that_ended_with_the_turn_is_read_again_as_it_was_written(tmp_path):
    model = recommender(tmp_path)[0]
    end, logits = model.backbone.tokenizer.eos_token_id, model.backbone.logits
    rows, steps = [model.example_of([0, 5])], iter([17, 18, end] * 2)

    def forced(hidden):
        biased = logits(hidden).clone()
        biased[:, next(steps, 17)] += 1e4
        return biased

    model.backbone.logits = forced
    own = model.reading(rows).queries
    steps = iter([17, 18, end])
    torch.testing.assert_close(model.reading_written(rows, model.written(rows)).queries, own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_streamed_text_is_the_reasoning(family, tmp_path):
    model, pieces = recommender(tmp_path, family=family, rollout={"max_completion_length": 24})[0], []
    answer = model.recommend_streaming(model.example_of([0, 5, 3]), 5, on_text=pieces.append)
    assert answer == model.recommend([[0, 5, 3]], 5)[0]
    assert len(pieces) > 1 and "".join(pieces).strip() == answer.reasoning


@pytest.mark.parametrize("text", ["a < b", "a <ans", "sea é"])
def test_streaming_shows_a_held_back_bracket_at_the_end(text, tmp_path):
    """A '<' that may begin a marker is held back; when the reply ends without one it must still be shown."""
    model, pieces = recommender(tmp_path, rollout={"max_completion_length": 30})[0], []
    tokenizer, logits = model.backbone.tokenizer, model.backbone.logits
    steps = iter([*tokenizer.encode(text), tokenizer.eos_token_id])

    def forced(hidden):
        biased = logits(hidden).clone()
        biased[:, next(steps, 17)] += 1e4
        return biased

    model.backbone.logits = forced
    answer = model.recommend_streaming(model.example_of([0]), on_text=pieces.append)
    assert "".join(pieces) == answer.reasoning == text
    assert not any("\ufffd" in piece for piece in pieces)


def assert_same_answers(left, right):
    """Scores up to the last bits: weights read from a file lie elsewhere in memory, which picks other kernels."""
    for ours, theirs in zip(left, right, strict=True):
        assert (ours.items, ours.item_ids, ours.reasoning) == (theirs.items, theirs.item_ids, theirs.reasoning)
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


# -- storage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("rank", [0, 2], ids=["full", "lora"])
def test_save_and_load_agree(arm, rank, tmp_path):
    model, _ = recommender(tmp_path, arm, lora=rank, head={"tau": 0.1, "popularity_prior": 0.5})
    with torch.no_grad():
        for name, parameter in model.backbone.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.refresh_items()
    expected = model.recommend(HISTORIES)
    model.save_pretrained(tmp_path / "run")
    loaded = R2ec.from_pretrained(tmp_path / "run", device="cpu")
    assert_same_answers(loaded.recommend(HISTORIES), expected)
    assert loaded.config == model.config and loaded.catalog.ids == model.catalog.ids
    loaded.save_pretrained(tmp_path / "again")
    assert_same_answers(R2ec.from_pretrained(tmp_path / "again", device="cpu").recommend(HISTORIES), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_ranks_saves_and_loads(family, tmp_path):
    model, _ = recommender(tmp_path, family=family)
    expected = model.recommend(HISTORIES)
    model.save_pretrained(tmp_path / "run")
    assert_same_answers(R2ec.from_pretrained(tmp_path / "run", device="cpu").recommend(HISTORIES), expected)


def break_run(run, how, tmp_path):
    if how == "no r2ec.json":
        (run / "r2ec.json").unlink()
    elif how == "half a r2ec.json":
        (run / "r2ec.json").write_text('{"words": ')
    elif how == "no items":
        (run / "items.parquet").unlink()
    elif how == "half of the items":
        (run / "items.parquet").write_bytes((run / "items.parquet").read_bytes()[:50])
    elif how == "no table":
        (run / "item_table.safetensors").unlink()
    elif how == "another catalog":
        ItemTable(["x"], torch.zeros(1, 32)).save(run / "item_table.safetensors")
    elif how == "no weights":
        (run / "model" / "model.safetensors").unlink()
    elif how == "no config":
        (run / "config.yaml").unlink()
    elif how == "nothing":
        shutil.rmtree(run)


@pytest.mark.parametrize(
    "how",
    [
        "no r2ec.json",
        "half a r2ec.json",
        "no items",
        "half of the items",
        "no table",
        "another catalog",
        "no weights",
        "no config",
        "nothing",
    ],
)
def test_a_broken_run_is_a_checkpoint_error(how, tmp_path):
    recommender(tmp_path)[0].save_pretrained(tmp_path / "run")
    break_run(tmp_path / "run", how, tmp_path)
    with pytest.raises(CheckpointError):
        R2ec.from_pretrained(tmp_path / "run", device="cpu")


def test_a_run_with_adapters_names_a_missing_backbone(tmp_path):
    recommender(tmp_path, lora=2)[0].save_pretrained(tmp_path / "run")
    (tmp_path / "backbone").rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match="holds adapters of"):
        R2ec.from_pretrained(tmp_path / "run", device="cpu")


def test_a_run_knows_the_path_of_its_data(tmp_path):
    model, data = recommender(tmp_path)
    model.save_pretrained(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "r2ec.json").read_text())["data"] == str(data.path.resolve())
    loaded = R2ec.from_pretrained(tmp_path / "run", device="cpu")
    events = data.events.item_index[data.user_index == list(data.user_ids).index("u03")]
    example = loaded.example_of_user(data, "u03")
    assert example.seen.tolist() == events.tolist()
    assert [event.item_index for event in example.history] == events[-3:].tolist()
    assert all(event.time is not None for event in example.history), "the prompt is that of training"
    with pytest.raises(DataError, match="nearest ids: u03"):
        loaded.example_of_user(data, "u033")


# -- the catalog moves --------------------------------------------------------------------------------------------


def test_a_new_item_is_recommendable_without_training(model):
    before = {name: parameter.clone() for name, parameter in model.backbone.model.named_parameters()}
    title = model.catalog.titles[5]
    model.put_items(pa.table({"item_id": ["new"], "title": [title], "genre": [model.catalog.record(5)["genre"]]}))
    answer = model.recommend([[0]], 100, exclude_seen=False)[0]
    scores = dict(zip(answer.item_ids, answer.scores, strict=True))
    assert len(scores) == len(TITLES) + 1
    assert scores["new"] == pytest.approx(scores[model.catalog.ids[5]], abs=1e-4), "the same text, the same score"
    assert model.recommend([[len(TITLES)]])[0].items, "and it may stand in a history"
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.backbone.model.named_parameters())


def test_a_changed_catalog_equals_a_newly_encoded_one(model):
    model.put_items(pa.table({"item_id": ["new", model.catalog.ids[2]], "title": ["Calm Crime", "The Red Sea"]}))
    model.remove_items([model.catalog.ids[0]])
    moved, prompts = model.table.vectors.clone(), list(model.item_prompts)
    model.refresh_items()
    torch.testing.assert_close(moved, model.table.vectors, rtol=1e-4, atol=1e-5)
    assert model.table.item_ids == model.catalog.ids and len(prompts) == len(TITLES) == len(model.counts)


def test_a_replaced_item_is_encoded_again_and_keeps_its_index(model):
    item_id, row = model.catalog.ids[3], model.table.vectors[3].clone()
    model.put_items(pa.table({"item_id": [item_id], "title": ["Something Else Entirely"]}))
    assert model.catalog.ids[3] == item_id and model.catalog.titles[3] == "Something Else Entirely"
    assert "Something Else" in model.titles[3] and len(model.catalog) == len(TITLES)
    assert not torch.allclose(model.table.vectors[3], row)


def test_a_removed_item_is_never_recommended(model):
    gone = model.catalog.ids[4]
    model.remove_items([gone])
    answer = model.recommend([[0]], 100, exclude_seen=False)[0]
    assert gone not in answer.item_ids and len(answer.items) == len(TITLES) - 1


def test_a_changed_catalog_is_saved_and_loaded(model, tmp_path):
    model.put_items(pa.table({"item_id": ["new"], "title": ["Calm Crime"]}))
    model.remove_items([model.catalog.ids[1]])
    model.save_pretrained(tmp_path / "run")
    loaded = R2ec.from_pretrained(tmp_path / "run", device="cpu")
    assert_same_answers(loaded.recommend(HISTORIES), model.recommend(HISTORIES))


def test_unknown_and_repeated_items_are_refused_without_a_change(model):
    expected = model.recommend([[0]])
    with pytest.raises(DataError, match="nope"):
        model.remove_items(["nope"])
    with pytest.raises(DataError, match="twice"):
        model.put_items(pa.table({"item_id": ["n", "n"], "title": ["A", "B"]}))
    with pytest.raises(DataError, match="title"):
        model.put_items(pa.table({"item_id": ["n"]}))
    assert model.recommend([[0]]) == expected


# -- prompts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["compact", "brief", "instruct"])
def test_the_target_never_reaches_the_prompt(model, style):
    model.config = replace(model.config, prompt=replace(model.config.prompt, style=style))
    example = model.example_of([0, 5, 3])
    prompts = {tuple(model.prompt_ids(replace(example, target=target))) for target in range(-1, len(TITLES))}
    assert len(prompts) == 1


def test_the_prompt_holds_the_latest_events_oldest_first(model):
    text = model.backbone.tokenizer.decode(model.prompt_ids(model.example_of([1, 7, 4, 8])))
    places = [text.find(f"[{model.titles[item]}]") for item in (7, 4, 8)]
    assert -1 not in places and places == sorted(places) and text.count("[") == 3


def test_users_and_items_are_read_at_the_same_marker(model):
    marker = model.engine.marker.ids
    assert all(prompt[-len(marker) :] == marker for prompt in model.item_prompts)
    ends_with_marker = model.prompt_ids(model.example_of([0]))[-len(marker) :] == marker
    assert ends_with_marker == (not model.config.reasons)


@pytest.mark.parametrize("arm", ARMS)
def test_a_targets_rank_is_its_place_in_the_list(arm, tmp_path):
    model, data = recommender(tmp_path, arm)
    rows = data.examples("test", 3)
    ranked = model.ranks(rows)
    for row, example in enumerate(rows):
        assert ranked.items[row].tolist().index(example.target) + 1 == ranked.ranks[row]
        assert not {event.item_index for event in example.history} & set(ranked.items[row].tolist())


@pytest.mark.parametrize("name", ["paper", "as_released", "small"])
@pytest.mark.parametrize("arm", ["full", "no-reasoning", "no-ranking-reward", "no-similarity-reward"])
def test_every_preset_has_every_arm(name, arm):
    assert preset(name, arm).arm == arm


def test_ranks_exclude_the_whole_history_as_recommend_does(tmp_path):
    model, data = recommender(tmp_path, prompt={"window": 2})
    examples = data.examples("test", window=2)
    top = model.ranks(examples, k=12).items
    for row in range(len(examples)):
        assert not set(top[row]) & set(examples.seen(row).tolist())
        assert len(examples.seen(row)) > 2
    answers = model.recommend_examples([examples[row] for row in range(len(examples))], k=12)
    assert [answer.items for answer in answers] == [[int(item) for item in row if item >= 0] for row in top]


def test_adding_an_item_tokenises_only_that_item(model, monkeypatch):
    model.refresh_items()
    seen, item_ids = [], model.item_ids
    monkeypatch.setattr(model, "item_ids", lambda texts: seen.extend(texts) or item_ids(texts))
    model.put_items(pa.table({"item_id": ["fresh"], "title": ["A fresh thing"]}))
    model.refresh_items()
    assert len(seen) == 1 and "A fresh thing" in seen[0]


def test_events_show_times_and_ratings_in_the_prompt(model):
    hour, items = 3600, (0, 5, 3)
    events = [Event(item, 1_000_000 + n * hour, 4.0) for n, item in enumerate(items)]
    known = Example("u", tuple(events), 7, 1_000_000 + 2 * hour, None)
    assert model.prompt_ids(model.example_of(events)) == model.prompt_ids(known)
    assert model.prompt_ids(model.example_of(items)) != model.prompt_ids(known)
    later = model.example_of(events, now=1_000_000 + 4 * hour)
    assert "2 hours ago" in model.backbone.tokenizer.decode(model.prompt_ids(later))
    assert model.recommend([events], k=3)[0].items == model.recommend_examples([known], k=3)[0].items
