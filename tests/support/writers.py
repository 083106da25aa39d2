"""Settings under which the baselines that write their recommendation are trained in about a second on the shelf."""

from reckon.baselines.generative.rqvae import RQVAEConfig
from reckon.baselines.generative.tiger import TIGERConfig
from reckon.small_backbone.pretrain import PretrainConfig

IDS = RQVAEConfig(levels=2, codebook_size=4, hidden_size=32, latent_size=8, epochs=10)
TIGER_SETTINGS = TIGERConfig(
    ids=IDS, hidden_size=32, heads=2, layers=1, dropout=0.0, learning_rate=3e-3, batch_size=32, max_epochs=4
)
BACKBONE = PretrainConfig(
    hidden_size=32, layers=1, heads=2, intermediate_size=64, vocab_size=300, steps=5, max_tokens=64
)
WRITER = {"new": BACKBONE, "window": 3, "batch_size": 32, "max_epochs": 2, "learning_rate": 5e-3}
