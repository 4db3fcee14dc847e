"""Llama: the text twin and the cascade's language model. Reads transcripts, hears nothing."""

from training.families.base import Family


class Llama(Family):
    """Its parameters are named in its files as Transformers names them."""

    model_type = "llama"
    takes_audio = False
    parameter_prefixes = ()
    language_model = "model."
    projector = ()
    model_inputs = ()
