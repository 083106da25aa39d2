"""A tiny random model whose vocabulary holds whole pieces of replies, so that what it writes at random may parse."""

import torch

from support.made_once import made_once
from support.tiny import model, tokenizer


@made_once
def talker_folder(path, pieces, seed, fluency):
    """A Hugging Face folder; which pieces a prompt gets is as random as the weights are.

    Args:
        pieces: texts that become one token each.
        fluency: times the usual weights of their rows of the language model's head: the larger, the more often they
            are written.
    """
    words = tokenizer()
    words.add_tokens(pieces)
    ids = words.convert_tokens_to_ids(pieces)
    built = model("llama", seed, spread=3.0, vocab_size=max(ids) + 1)  # AutoTokenizer leaves a Llama folder as it is
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head = built.get_output_embeddings().weight  # [V, D]
        head[ids] = fluency * 0.02 * torch.randn(len(ids), head.shape[1], generator=generator)
    built.save_pretrained(path)
    words.save_pretrained(path)
    return path
