"""The tokens that the service counts and expects of its servers are those of Transformers."""

from pathlib import Path

import pytest

from app.core.prompts import notes_messages, transcript_messages
from app.engine.remote.chat_tokenizer import ChatTokenizer
from model_repo.architectures import CHAT_TEMPLATE
from tests.app.engine.remote.fake_vllm_server import TOKENIZER, chat_tokenizer


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> object:
    from transformers import PreTrainedTokenizerFast

    folder: Path = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer.json").write_text(TOKENIZER)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return PreTrainedTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("text", ["", "Hello there", "  spaces \n\n", "Zürich 🚆 <|im_end|> 19 °C"])
def test_a_text_has_as_many_tokens(theirs: object, text: str) -> None:
    assert chat_tokenizer().count_tokens(text) == len(theirs.encode(text, add_special_tokens=False))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "messages",
    [notes_messages("Be brief.", "[0:00:00]\n- Zürich 🚆"), transcript_messages("Be brief.", "two\n\nlines  ")],
    ids=["parts", "strings"],
)
def test_messages_are_worded_alike(theirs: object, messages: list[dict[str, object]]) -> None:
    prompt = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)  # type: ignore[attr-defined]
    assert chat_tokenizer().token_ids(messages) == theirs.encode(prompt, add_special_tokens=False)  # type: ignore[attr-defined]


def test_every_control_token_is_known() -> None:
    found = ChatTokenizer(TOKENIZER, CHAT_TEMPLATE).control_tokens
    assert set(found) == {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>"}
    assert [len(token) for token in found] == sorted((len(token) for token in found), reverse=True)
