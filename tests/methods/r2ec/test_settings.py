"""Settings that R2ec shares with every method reach its trainer."""

from safetensors.torch import load_file
from support.run_files import equal
from support.shelf import train


def test_what_a_token_counts_is_a_setting_of_r2ec_too(tmp_path):
    def trained(loss_type, out):
        changes = {"max_steps": 1, "eval_steps": 1, "warmup_steps": 0}
        train(tmp_path, out, recpo={"loss_type": loss_type}, **changes)
        return load_file(tmp_path / out / "checkpoint-1" / "model.safetensors")  # the start may be what is kept

    usual = trained("grpo", "usual")
    assert equal(trained("grpo", "again"), usual)
    assert not equal(trained("dr_grpo", "other"), usual)
