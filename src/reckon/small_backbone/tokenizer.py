"""A tokenizer trained on a data set's own text.

Entry point: `train_tokenizer`. Byte-level BPE, so decoding gives the text back and no text is ever unknown. Words
and numbers carry the space before them and stay whole where they are frequent enough: lexical statistics need words,
not letters. Punctuation is cut off, a line end is a token, and the marker of the prompts is one token.

Does not know about models.
"""

from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reckon.prompts.r2ec import MARKER

PAD, EOS = "<pad>", "<eos>"
# A letter run with its space, or one more kind of character at a time. "TRA708T" stays one piece, "1/2-Inch" is five.
PIECES = r"\n| ?[\p{L}\p{M}\d]+| ?[^\s\p{L}\p{M}\d]|\s"
MIN_FREQUENCY = 2  # a merge seen once would spend a vocabulary row on one item


def train_tokenizer(texts: Sequence[str], vocab_size: int, tags: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A fast tokenizer for texts like these.

    Args:
        texts: what the vocabulary is learned from.
        vocab_size: the most rows it may have; at least 256 bytes and the special tokens.
        tags: further texts that are one token each, and stay in decoded text.

    Returns:
        A tokenizer with `<pad>` (0), `<eos>` (1) and the marker (2), which adds no start token.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[PAD, EOS, MARKER],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in tags])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=EOS,
        additional_special_tokens=[MARKER],
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
