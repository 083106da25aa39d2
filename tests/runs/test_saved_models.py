"""A saved model whose files were changed, mixed or cut is refused in one line that names the file."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file
from support import rated_shelf, shelf
from typer.testing import CliRunner

from reckon.checksums import CHECKSUMS_FILE, checking
from reckon.cli import app
from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.errors import CheckpointError, DataError
from reckon.evaluation import rate_now
from reckon.evaluation.run import evaluate
from reckon.methods.r2ec import R2ec
from reckon.methods.reczero import RecZero
from reckon.methods.train import train_run
from reckon.models.backbone import LoraSettings, load_backbone
from reckon.runs.read import manifest_of, outcome_of

TABLE = "item_table.safetensors"
DAMAGED = ("", "{}", "[1]", '{"vocab_size": "x", "model": 3}', "[" * 50_000)
AS_GOOD = ("{}", '{"vocab_size": "x", "model": 3}')  # of a tokenizer's settings, which all have defaults


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    model, _ = shelf.recommender(path)
    model.save_pretrained(path / "run")
    return path


@pytest.fixture
def run(saved, tmp_path):
    """A copy of the saved model, to be damaged."""
    return shutil.copytree(saved / "run", tmp_path / "run")


def edit(file, change):
    """Change the tensors of a safetensors file, as they are by name."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def permute_titles(run):
    items = pq.read_table(run / "items.parquet")
    titles = items["title"].take(list(reversed(range(len(items)))))
    pq.write_table(items.set_column(items.column_names.index("title"), "title", titles), run / "items.parquet")


@pytest.mark.parametrize("name", ["model/model.safetensors", "model/tokenizer.json", TABLE, "items.parquet"])
def test_one_changed_byte_is_refused_and_its_file_named(run, name):
    data = bytearray((run / name).read_bytes())
    data[-9] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name}.*checksum is another.*--no-verify"):
        R2ec.from_pretrained(run)


def test_the_command_line_refuses_in_one_line_and_reads_on_only_when_told_to(run):
    edit(run / "model" / "model.safetensors", lambda tensors: tensors["model.norm.weight"].mul_(2))
    words = ["recommend", str(run), "--history", "Calm Sea"]
    codes = [CliRunner().invoke(app, [*words, *more]) for more in ([], ["--no-verify"], [])]
    assert [result.exit_code for result in codes] == [2, 0, 2]
    assert codes[0].stderr.count("\n") == 1 and "model.safetensors" in codes[0].stderr


def test_permuted_titles_are_refused_unless_nobody_asks(run):
    permute_titles(run)
    with pytest.raises(CheckpointError, match=r"items.parquet.*checksum"):
        R2ec.from_pretrained(run)
    R2ec.from_pretrained(run, verify=False)


def test_a_file_that_a_library_would_read_is_refused_beside_the_weights(run):
    (run / "model" / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja: was added"):
        R2ec.from_pretrained(run)


def test_a_model_without_checksums_loads_with_a_warning(run, caplog):
    for file in run.rglob(CHECKSUMS_FILE):
        file.unlink()
    R2ec.from_pretrained(run)
    assert "has no checksums.json" in caplog.text


def test_a_run_that_had_checksums_is_refused_without_them(run):
    (run / CHECKSUMS_FILE).unlink()
    (run / "manifest.json").write_text('{"checksums": "checksums.json"}')
    with pytest.raises(CheckpointError, match=f"{CHECKSUMS_FILE}: is missing"):
        R2ec.from_pretrained(run)


# Without checksums, as in a run of an earlier version.


def test_a_missing_tensor_is_refused_and_never_made_up(run):
    edit(run / "model" / "model.safetensors", lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(CheckpointError, match=r"weights lack model\.norm\.weight"):
        R2ec.from_pretrained(run, verify=False)


def test_a_tensor_that_is_not_of_the_model_is_refused_unless_nobody_asks(run):
    edit(run / "model" / "model.safetensors", lambda tensors: tensors.update(more=tensors["model.norm.weight"].clone()))
    (run / "model" / CHECKSUMS_FILE).unlink()
    with pytest.raises(CheckpointError, match="weights hold more"):
        load_backbone(run / "model", device="cpu")
    load_backbone(run / "model", device="cpu", verify=False)


def test_adapters_with_a_tensor_too_few_are_refused(saved, tmp_path):
    load_backbone(saved / "backbone", lora=LoraSettings(r=2), device="cpu").save(tmp_path / "adapters")
    file = tmp_path / "adapters" / "adapter_model.safetensors"
    edit(file, lambda tensors: tensors.pop(next(iter(tensors))))
    with pytest.raises(CheckpointError, match="weights lack base_model"):
        load_backbone(tmp_path / "adapters", device="cpu", verify=False)


def test_adapters_are_refused_over_another_base(saved, tmp_path):
    base = shutil.copytree(saved / "backbone", tmp_path / "base")
    load_backbone(base, lora=LoraSettings(r=2), device="cpu").save(tmp_path / "adapters")
    edit(base / "model.safetensors", lambda tensors: tensors["model.norm.weight"].add_(1))
    with pytest.raises(CheckpointError, match=r"base/model.safetensors: is damaged or was changed"):
        load_backbone(tmp_path / "adapters", device="cpu")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensors: tensors.update(vectors=tensors["vectors"][:, :8].contiguous()), "width 8"),
        (lambda tensors: tensors.update(vectors=tensors["vectors"][:-1].clone()), "is not an item table"),
        (lambda tensors: tensors.update(vectors=tensors["vectors"] * float("nan")), "other values than numbers"),
        (lambda tensors: tensors.update(vectors=tensors["vectors"].half()), "other values than numbers"),
        (lambda tensors: tensors.pop("id_ends"), "is not an item table"),
        (lambda tensors: tensors["ids"].copy_(tensors["ids"].flip(0)), "is not an item table|another catalog"),
    ],
)
def test_an_item_table_of_another_shape_is_refused(run, change, problem):
    from safetensors import safe_open

    with safe_open(run / TABLE, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(run / TABLE)
    change(tensors)
    save_file(tensors, run / TABLE, metadata=metadata)
    with pytest.raises(CheckpointError, match=problem):
        R2ec.from_pretrained(run, verify=False)


@pytest.mark.parametrize("text", ["", "null\n", "{}\n", "[1]\n", "arm: full\n", "[" * 5000, "seed: 2024-99-99\n"])
def test_settings_that_were_cut_are_not_read_as_defaults(run, text):
    (run / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.yaml: is (missing or )?damaged"):
        R2ec.from_pretrained(run, verify=False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name in ("tokenizer.json", "config.json", "model.safetensors") for text in DAMAGED),
        *(("tokenizer_config.json", text) for text in DAMAGED if text not in AS_GOOD),
    ],
)
def test_what_a_library_says_of_damage_is_one_line_that_names_the_folder(run, name, text):
    (run / "model" / name).write_text(text)
    with pytest.raises(CheckpointError, match="run/model"):
        R2ec.from_pretrained(run, verify=False)


def test_a_further_word_for_prompts_changes_nothing(run):
    about = json.loads((run / "r2ec.json").read_text())
    (run / "r2ec.json").write_text(json.dumps(about | {"words": about["words"] | {"more": 3}}))
    assert R2ec.from_pretrained(run, verify=False).words == about["words"]


def test_a_rating_run_with_other_items_than_its_data_is_refused(tmp_path):
    data = rated_shelf.dataset(tmp_path / "data")
    train_run(
        "reczero", data=tmp_path / "data", backbone=shelf.backbone_folder(tmp_path / "backbone"), out=tmp_path / "run",
        preset="small", overrides=("training.max_steps=1", "training.batch_size=4", "training.micro_batch_size=4",
        "training.validation_size=4", "grpo.num_generations=2", "rollout.max_completion_length=4"), progress=False,
    )  # fmt: skip
    items = pq.read_table(tmp_path / "run" / "items.parquet")
    pq.write_table(items.slice(0, len(items) - 3), tmp_path / "run" / "items.parquet")
    for use in (
        lambda: rate_now(tmp_path / "run", "b05", user=str(data.user_ids[0])),
        lambda: evaluate(tmp_path / "run"),
    ):
        with checking(False), pytest.raises(CheckpointError, match=r"items\.parquet: holds other items"):
            use()


def test_a_tokenizer_without_words_is_refused(run):
    (run / "model" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        R2ec.from_pretrained(run, verify=False)


@pytest.mark.parametrize("text", ["", "[]", '{"words": 1, "data": null}', '{"words": {}, "data": null}', "[" * 9999])
def test_a_damaged_file_of_the_model_itself_is_named(run, text):
    (run / "r2ec.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"r2ec\.json: is damaged"):
        R2ec.from_pretrained(run, verify=False)


def test_a_manifest_or_a_log_of_another_shape_is_named(run):
    (run / "manifest.json").write_text('{"method": "r2ec", "arm": "full", "data": "abc"}')
    with pytest.raises(CheckpointError, match=r"manifest\.json: is damaged \(data must be an object"):
        manifest_of(run)
    for text in ("[", "{}", "[1]", "[{}]"):
        (run / "log.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"log\.json"):
            outcome_of(run)


def test_an_item_column_of_the_name_of_the_counts_is_kept(tmp_path):
    shelf.dataset(tmp_path / "plain")
    items = pq.read_table(tmp_path / "plain" / "items.parquet")
    data = Dataset.load(
        write_dataset(
            tmp_path / "data",
            items.append_column("reckon_train_count", items["genre"]),
            pq.read_table(tmp_path / "plain" / "interactions.parquet"),
            source={"name": "shelf"},
            split="leave-one-out",
            words={"item": "book", "items": "books", "action": "read"},
            tie_rule="none",
        )
    )
    model = R2ec.from_backbone(shelf.backbone_folder(tmp_path / "backbone"), data, shelf.settings())
    model.save_pretrained(tmp_path / "run")
    loaded = R2ec.from_pretrained(tmp_path / "run")
    assert loaded.catalog.table.equals(data.catalog.table) and list(loaded.counts) == list(model.counts)


def test_a_saved_rating_model_is_checked_too(tmp_path):
    data = rated_shelf.dataset(tmp_path / "data")
    folder = shelf.backbone_folder(tmp_path / "backbone")
    RecZero.from_backbone(folder, data, rated_shelf.settings()).save_pretrained(tmp_path / "run")
    permute_titles(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"items\.parquet.*checksum"):
        RecZero.from_pretrained(tmp_path / "run")


def test_a_data_set_whose_events_were_edited_is_refused_with_and_without_its_checksums_file(tmp_path):
    shelf.dataset(tmp_path)
    events = pq.read_table(tmp_path / "interactions.parquet")
    pq.write_table(events.slice(1), tmp_path / "interactions.parquet")
    for _ in range(2):
        with pytest.raises(DataError, match=r"interactions\.parquet.*checksum"):
            Dataset.load(tmp_path)
        (tmp_path / CHECKSUMS_FILE).unlink(missing_ok=True)
    Dataset.load(tmp_path, verify=False)


@pytest.mark.parametrize("text", ["", "[]", '{"split": "given"}', "[" * 9999])
def test_a_damaged_manifest_of_a_data_set_is_named(tmp_path, text):
    shelf.dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json: is damaged"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "name"),
    [("items", "item_id"), ("items", "title"), ("interactions", "user_id"), ("interactions", "timestamp")],
)
def test_a_column_of_another_type_is_named(tmp_path, file, name):
    shelf.dataset(tmp_path)
    table = pq.read_table(tmp_path / f"{file}.parquet")
    values = pa.array([1.5] * len(table))
    pq.write_table(table.set_column(table.column_names.index(name), name, values), tmp_path / f"{file}.parquet")
    with pytest.raises(DataError, match=f"{file}.parquet: has a column '{name}' of type double"):
        Dataset.load(tmp_path, verify=False)
