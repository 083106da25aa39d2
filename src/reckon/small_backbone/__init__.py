"""Small language models pretrained on a data set's own text, with lexical or induction-head initial weights."""
