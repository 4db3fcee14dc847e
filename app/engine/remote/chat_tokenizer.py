"""A checkpoint's tokenizer and chat template without the checkpoint: for the front of servers that hold the weights.

Counts a text's tokens, knows the control tokens, and tells which tokens chat messages are, so that a server's reading
of them can be compared. Needs neither Transformers nor vLLM. Knows nothing about audio or HTTP.
"""

from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from app.engine.chat_request import Messages, sort_longest_first


class ChatTokenizer:
    """tokenizer: text of a `tokenizer.json`. template: text of a `chat_template.jinja`."""

    def __init__(self, tokenizer: str, template: str) -> None:
        self._tokenizer: Any = Tokenizer.from_str(tokenizer)
        # as Transformers' apply_chat_template opens it
        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.control_tokens = sort_longest_first({token.content for token in added})

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def token_ids(self, messages: Messages) -> list[int]:
        """Tokens of the prompt that text messages are, ready for the answer."""
        prompt = self._template.render(messages=messages, add_generation_prompt=True)
        return list(self._tokenizer.encode(prompt, add_special_tokens=False).ids)
