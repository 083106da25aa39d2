"""The text that ends a reply, found in its tokens.

Entry point: `StopMarker.ended`, called for the newest token of every reply.
"""

import torch
from torch import Tensor

from reckon.errors import ConfigError
from reckon.models.backbone import Backbone

LOOK_BACK = 8  # trailing tokens of a reply that are searched for the marker's text


class StopMarker:
    """Finds the marker in sampled tokens, whether it is one token or several."""

    def __init__(self, text: str, backbone: Backbone) -> None:
        tokenizer = backbone.tokenizer
        self.text = text
        self.ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        self._tokenizer = tokenizer
        size = backbone.causal_lm.get_output_embeddings().weight.shape[0]
        if max(self.ids) >= size:
            rule = f"its tokenizer writes {text} in tokens for which it has no vectors"
            raise ConfigError("backbone", backbone.name, rule, "use another model")
        self._may_end = torch.zeros(size, dtype=torch.bool)
        if len(self.ids) == 1:
            self._may_end[self.ids[0]] = True
        else:
            for token, index in tokenizer.get_vocab().items():
                if index < size:  # a tokenizer may have more tokens than its model
                    self._may_end[index] = text[-1] in token
        self._may_end = self._may_end.to(backbone.device)

    def ended(self, tokens: Tensor, replies: Tensor) -> Tensor:
        """[N] True where the newest tokens [N] complete the marker; replies [N, t] include them."""
        ended = self._may_end[tokens]
        if len(self.ids) > 1:
            for row in ended.nonzero()[:, 0].tolist():
                tail = self._tokenizer.decode(replies[row, -(LOOK_BACK + len(self.ids)) :].tolist())
                ended[row] = self.text in tail
        return ended
