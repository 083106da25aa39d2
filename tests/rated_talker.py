"""A tiny random model that writes replies of the right form: each is one token of its vocabulary, one for each star."""

import torch
from rated_shelf import reply, settings
from tiny import model, tokenizer

from reckon.methods.reczero import RecZero

STARS = (1, 2, 3, 4, 5)
FLUENCY = 30  # times the usual weights of the language model's head: enough that most replies have the form


def backbone_folder(path, seed=0, fluency=FLUENCY):
    """A Hugging Face folder; which replies a prompt gets is as random as the weights are."""
    words = tokenizer()
    words.add_tokens([reply(stars) for stars in STARS])
    ids = words.convert_tokens_to_ids([reply(stars) for stars in STARS])
    built = model("llama", seed, spread=3.0, vocab_size=max(ids) + 1)  # AutoTokenizer leaves a Llama folder as it is
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head = built.get_output_embeddings().weight  # [V, D]
        head[ids] = fluency * 0.02 * torch.randn(len(ids), head.shape[1], generator=generator)
    built.save_pretrained(path)
    words.save_pretrained(path)
    return path


def predictor(path, data, fluency=FLUENCY, **changes):
    """An untrained RecZero whose replies often have the form."""
    return RecZero.from_backbone(backbone_folder(path, fluency=fluency), data, settings(**changes))
