"""Qwen2.5: a text model that reads transcripts, the language model of a cascade or a teacher. It takes no audio."""

from training.families.llama import Llama


class Qwen2(Llama):
    """The names in its files are those of Transformers."""

    model_type = "qwen2"
