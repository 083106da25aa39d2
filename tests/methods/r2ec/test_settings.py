"""Settings that R2ec shares with every method reach its trainer."""

from support.run_files import steps
from support.shelf import train


def test_the_loss_type_of_r2ec_reaches_its_trainer(tmp_path):
    def gradient(loss_type, out):
        train(tmp_path, out, recpo={"loss_type": loss_type}, max_steps=1, eval_steps=1)
        return steps(tmp_path / out)[0]["grad_norm"]

    usual = gradient("grpo", "usual")
    assert gradient("grpo", "again") == usual
    assert gradient("dr_grpo", "other") != usual
