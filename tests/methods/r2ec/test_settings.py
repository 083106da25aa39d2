"""Settings that R2ec shares with every method reach its trainer."""

from support.run_files import equal, weights
from support.shelf import train


def test_what_a_token_counts_is_a_setting_of_r2ec_too(tmp_path):
    def trained(loss_type, out):
        changes = {"max_steps": 1, "eval_steps": 1, "warmup_steps": 0}
        return weights(train(tmp_path, out, recpo={"loss_type": loss_type}, **changes).backbone.model)

    usual = trained("grpo", "usual")
    assert equal(trained("grpo", "again"), usual)
    assert not equal(trained("dr_grpo", "other"), usual)
