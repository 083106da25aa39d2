"""A tiny random model that writes replies of the right form: each is one token of its vocabulary, one for each star."""

from reckon.methods.reczero import RecZero
from support.rated_shelf import reply, settings
from support.talker import talker_folder

STARS = (1, 2, 3, 4, 5)
FLUENCY = 30  # times the usual weights of the language model's head: enough that most replies have the form


def backbone_folder(path, seed=0, fluency=FLUENCY):
    """A Hugging Face folder; which replies a prompt gets is as random as the weights are."""
    return talker_folder(path, [reply(stars) for stars in STARS], seed, fluency)


def predictor(path, data, fluency=FLUENCY, **changes):
    """An untrained RecZero whose replies often have the form."""
    return RecZero.from_backbone(backbone_folder(path, fluency=fluency), data, settings(**changes))
