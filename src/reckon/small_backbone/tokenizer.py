"""A tokenizer trained on a data set's own text.

Entry point: `train_tokenizer`. Byte-level BPE: every text can be encoded, and decoding restores it. Words and numbers
include the space before them, and frequent ones are one token, because lexical statistics need whole words. Punctuation
marks and line ends are tokens of their own; the marker of the prompts is one token.

Knows nothing of models.
"""

from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from reckon.prompts.r2ec import MARKER

PAD, EOS = "<pad>", "<eos>"
# A run of letters and digits with the space before it, or one other character. "TRA708T" is one piece, "1/2-Inch" is
# five.
PIECES = r"\n| ?[\p{L}\p{M}\d]+| ?[^\s\p{L}\p{M}\d]|\s"
MIN_FREQUENCY = 2  # a merge seen once would use a vocabulary row for one item


def train_tokenizer(texts: Sequence[str], vocab_size: int, tags: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A fast tokenizer for texts like these.

    Args:
        texts: the vocabulary is learned from them.
        vocab_size: most tokens of the vocabulary; at least the 256 bytes and the special tokens.
        tags: further texts that become one token each; decoding keeps them.

    Returns:
        A tokenizer with `<pad>` (0), `<eos>` (1) and the marker (2); it adds no start token.
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
