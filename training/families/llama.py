"""Llama: the text twin and the cascade's language model. Reads transcripts, hears nothing."""

from training.families.base import Family


class Llama(Family):
    """Its parameters are named in its files as Transformers names them."""

    model_type = "llama"
    hears = False
    names = ()
    language_model = "model."
    projector = ()
    tensors = ()
