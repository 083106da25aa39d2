"""RecTools' SASRec for `sasrec.py`: trained on what it is handed, best epoch kept, vectors handed back.

Run by `sasrec.py` in an environment of its own (RecTools needs NumPy 1, Reckon's data files need NumPy 2):

    python -m venv peer && peer/bin/pip install 'rectools[torch]==0.19.0' 'torch==2.13.0' 'numpy<2'
    peer/bin/python benchmarks/sasrec_peer.py DATA.npz SETTINGS.json OUT.npz

DATA holds sequences to train on and histories with targets; OUT gets user vectors [R, D], item vectors [I, D] and which
items have one, NDCG@10 on the validation rows at each look, and seconds. Ranks are Reckon's to find.
"""

import copy
import json
import logging
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

ROWS_AT_ONCE = 512


def sequences(data: Any, name: str) -> list[np.ndarray]:
    """Lists of item indices that were stored as one array and where each ends."""
    return np.split(data[f"{name}_items"], data[f"{name}_ends"][:-1])


class Reader:
    """Reads histories with RecTools' network as its own `recommend` does: the last items, padded on the left."""

    def __init__(self, preparator: Any, items: int, length: int) -> None:
        self.length = length
        inner = preparator.item_id_map.to_internal
        self.inner = np.array([inner.get(item, 0) for item in range(items)])  # [I] 0 is padding: never trained

    @torch.no_grad()
    def vectors(self, network: torch.nn.Module, histories: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """User vectors [R, D] and item vectors [I, D]."""
        network.eval()
        items = network.item_model.get_all_embeddings()
        users = []
        for start in range(0, len(histories), ROWS_AT_ONCE):
            rows = histories[start : start + ROWS_AT_ONCE]
            tokens = np.zeros((len(rows), self.length), dtype=np.int64)
            for row, history in enumerate(rows):
                known = self.inner[history]
                known = known[known > 0][-self.length :]
                if len(known):
                    tokens[row, -len(known) :] = known
            users.append(network.encode_sessions({"x": torch.from_numpy(tokens)}, items)[:, -1])
        return torch.cat(users), items[torch.from_numpy(self.inner)]


class BestEpoch(Callback):
    """NDCG@10 on the validation rows every few epochs, as Reckon's training measures it; keeps the best weights."""

    def __init__(self, data: Any, length: int, patience: int, every: int) -> None:
        self.every = every  # epochs between two looks
        self.histories, self.targets = sequences(data, "valid"), torch.from_numpy(data["valid_targets"])
        self.seen, self.exclude_seen = sequences(data, "valid_seen"), bool(data["exclude_seen"])
        self.items, self.length, self.patience = int(data["items"]), length, patience
        self.found: list[float] = []
        self.state: dict[str, torch.Tensor] = {}
        self.reader: Reader | None = None  # known when the model has read its data

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.reader = Reader(module.data_preparator, self.items, self.length)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        self.found.append(self.ndcg(module.torch_model))
        module.torch_model.train()
        best = int(np.argmax(self.found))
        if best == len(self.found) - 1:
            self.state = copy.deepcopy(module.torch_model.state_dict())
        elif len(self.found) - 1 - best >= self.patience:
            trainer.should_stop = True

    def ndcg(self, network: torch.nn.Module) -> float:
        assert self.reader is not None
        users, items = self.reader.vectors(network, self.histories)
        total = 0.0
        for start in range(0, len(users), ROWS_AT_ONCE):
            scores = users[start : start + ROWS_AT_ONCE] @ items.T
            scores[:, torch.from_numpy(self.reader.inner == 0)] = -torch.inf
            if self.exclude_seen:
                for row in range(len(scores)):
                    scores[row, torch.from_numpy(self.seen[start + row])] = -torch.inf
            own = scores.gather(1, self.targets[start : start + len(scores), None])
            ranks = (scores >= own).sum(dim=1).masked_fill(own[:, 0] == -torch.inf, len(items) + 1)
            total += float(torch.where(ranks <= 10, 1 / torch.log2(1 + ranks), 0.0).sum())
        return total / len(users)


def table(train: list[np.ndarray]) -> pd.DataFrame:
    """The sequences as interactions, in order of time."""
    lengths = [len(sequence) for sequence in train]
    return pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(train)), lengths),
            Columns.Item: np.concatenate(train),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp(2000, 1, 1) + pd.to_timedelta(np.arange(sum(lengths)), unit="s"),
        }
    )


def make_trainer(data: str, length: int, epochs: int, patience: int, every: int) -> Trainer:
    """RecTools asks for a function that can be imported, with plain arguments."""
    return Trainer(
        max_epochs=epochs * every,
        accelerator="cpu",
        callbacks=[BestEpoch(np.load(data), length, patience, every)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def main(data_path: str, settings_path: str, out_path: str) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    data = np.load(data_path)
    with open(settings_path, encoding="utf-8") as file:
        settings = json.load(file)
    train = sequences(data, "train")
    batches = -(-sum(len(sequence) > 1 for sequence in train) // settings["batch_size"])
    trainer = {
        "data": data_path,
        "length": settings["max_length"],
        "epochs": settings["epochs"],
        "patience": settings["patience"],
        "every": -(-settings["steps_per_round"] // batches),  # as Reckon's `train` does
    }
    seed_everything(settings["seed"], verbose=False)
    model = SASRecModel(
        n_blocks=settings["layers"],
        n_heads=settings["heads"],
        n_factors=settings["width"],
        dropout_rate=settings["dropout"],
        session_max_len=settings["max_length"],
        lr=settings["learning_rate"],
        batch_size=settings["batch_size"],
        loss="softmax",
        get_trainer_func=make_trainer,
        get_trainer_func_kwargs=trainer,
    )
    dataset = Dataset.construct(table(train))
    started = time.perf_counter()
    model.fit(dataset)
    seconds = time.perf_counter() - started
    # Fitting works on a copy of the trainer, so its callback is asked for.
    best = next(found for found in model.fit_trainer.callbacks if isinstance(found, BestEpoch))
    assert best.reader is not None
    network = model.lightning_model.torch_model
    network.load_state_dict(best.state)
    users, items = best.reader.vectors(network, sequences(data, "test"))
    np.savez(
        out_path,
        users=users.numpy(),
        items=items.numpy(),
        known=best.reader.inner > 0,
        valid_ndcg=best.found,
        seconds=seconds,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
