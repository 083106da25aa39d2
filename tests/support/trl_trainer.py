"""One step of TRL's own GRPOTrainer on a tiny model: what the tests of rewards call them with."""

from support.tiny import model, tokenizer


def logged_step(path, rewards, rows, chat_template=None):
    """What TRL logs of a step over four rows, two replies of four random tokens to a prompt.

    Args:
        path: where TRL may write.
        rewards: one reward function or several, as TRL takes them.
        rows: four dicts with `prompt` and the columns that the rewards read.
        chat_template: of the tokenizer, where prompts are conversations.
    """
    from datasets import Dataset as Rows
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=model(),
        processing_class=tokenizer(chat_template=chat_template),
        reward_funcs=rewards,
        train_dataset=Rows.from_list(rows),
        args=GRPOConfig(
            output_dir=str(path),
            per_device_train_batch_size=4,
            num_generations=2,
            max_steps=1,
            max_completion_length=4,
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
    )
    trainer.train()
    return next(entry for entry in trainer.state.log_history if "reward" in entry)
