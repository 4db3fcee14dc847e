"""A checkpoint's tokenizer and chat template without its weights, for a service whose weights are on vLLM servers.

It counts the tokens of a text, lists the control tokens, and renders chat messages to token ids, with which a server's
own rendering is compared. Needs neither Transformers nor vLLM. Knows nothing about audio or HTTP.
"""

from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from app.engine.chat_request import Messages, sort_longest_first


class ChatTokenizer:
    """The tokenizer of a checkpoint.

    tokenizer: the text of its `tokenizer.json`. template: the text of its `chat_template.jinja`.
    """

    def __init__(self, tokenizer: str, template: str) -> None:
        self._tokenizer: Any = Tokenizer.from_str(tokenizer)
        # These are the options with which Transformers' apply_chat_template renders.
        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.control_tokens = sort_longest_first({token.content for token in added})

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def token_ids(self, messages: Messages) -> list[int]:
        """Return the token ids of the prompt for text messages, up to where the answer begins."""
        prompt = self._template.render(messages=messages, add_generation_prompt=True)
        return list(self._tokenizer.encode(prompt, add_special_tokens=False).ids)
