"""Tokenizers in the manner of several model families, trained in code: their special tokens, normalisers, templates."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = ["read: [The Quiet Harbour] [The Black Tide]", "a calm sea book INST CLS sop", "the next book is dark 0 1 2 3"]
BYTES = pre_tokenizers.ByteLevel.alphabet()
EVERYTHING = [chr(code) for code in range(32, 127)]


def chatml():
    """Byte-level BPE with ChatML turns and a thinking tag that is an added token, but no special one."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], template, ["<think>", "</think>"])


def llama3():
    template = (
        "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    return _byte_level(["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"], template)


def harmony():
    template = (
        "{% for m in messages %}<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endfor %}"
        "<|start|>assistant<|channel|>"
    )
    return _byte_level(["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"], template)


def mistral():
    """SentencePiece Unigram whose turns have square brackets."""
    tokens = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"]
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    unigram.train_from_iterator(
        TEXT,
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=tokens, unk_token="<unk>", initial_alphabet=EVERYTHING, show_progress=False
        ),
    )
    template = "<s>{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
    return _fast(unigram, template, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def gemma():
    """BPE over whole text with byte fall-back, as SentencePiece writes it."""
    tokens = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<start_of_turn>",
        "<end_of_turn>",
        *(f"<0x{n:02X}>" for n in range(256)),
    ]
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Replace(" ", "\u2581")
    bpe.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    bpe.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bpe.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=420, special_tokens=tokens, show_progress=False))
    template = "<bos>{% for m in messages %}<start_of_turn>user\n{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    return _fast(bpe, template, unk_token="<unk>", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")


def bert():
    """WordPiece that folds case and width, with square brackets; one special token is looked for in folded text."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=200, special_tokens=tokens, show_progress=False)
    )
    pieces.add_special_tokens([AddedToken("[gMASK]", normalized=True, special=True)])
    return _fast(
        pieces, None, unk_token="[UNK]", eos_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]"
    )


def bare_words():
    """Special tokens without any brackets: a word inside words, bars, one letter that is no byte of the tokenizer."""
    return _byte_level(["<eos>", "sop", "|||IP|||", "\u20ac"], None)


FAMILIES = {make.__name__: make for make in (chatml, llama3, harmony, mistral, gemma, bert, bare_words)}


def _byte_level(special, template, tags=()):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=BYTES, show_progress=False),
    )
    bpe.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in tags])
    return _fast(bpe, template, eos_token=special[0], pad_token=special[0])


def _fast(tokenizer, template, **named):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named)
    fast.chat_template = template
    return fast
