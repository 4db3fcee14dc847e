"""Llama: the text twin and the language model of the cascade. It reads transcripts and takes no audio."""

from training.families.base import Family


class Llama(Family):
    """The names in its files are those of Transformers."""

    model_type = "llama"
    takes_audio = False
    parameter_prefixes = ()
    language_model = "model."
    projector = ()
    model_inputs = ()
