"""A client of an OpenAI-compatible endpoint: concurrent questions, a limit per minute, and a file that keeps the
answers.

An answer is written to the file when it arrives, under the SHA-256 of model and question, so that a run that was ended
continues without repeating a question. Requests that fail temporarily (429, 5xx, no connection) are repeated with
growing delays; a question that the endpoint refuses raises RequestRefused. Knows nothing about what is asked.
"""

import asyncio
import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from training.llm.endpoint import json_schema_format

TEMPERATURE = 0.7


class RequestRefused(ValueError):
    """The endpoint refuses the question, for example because it exceeds the context or its schema is not supported."""


@dataclass(frozen=True)
class LlmAnswer:
    """An answer. `is_complete` is False if it reached its limit of tokens."""

    text: str
    is_complete: bool = True


@dataclass
class Usage:
    """The number of questions that were asked and of answers that the file had, and the tokens of the asked ones."""

    asked: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """Return the cost of the tokens. The prices are those of a million tokens."""
        return (self.prompt_tokens * prompt_price + self.completion_tokens * completion_price) / 1e6


@dataclass
class LlmClient:
    """Asks the model `model` of an endpoint.

    client: an `openai.AsyncOpenAI`, which repeats what fails temporarily. cache_file: the file of answers. concurrency:
    the most open questions. per_minute: the most questions in a minute; 0 is no limit.
    """

    client: Any
    model: str
    cache_file: Path
    concurrency: int = 8
    per_minute: float = 0
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._gate = asyncio.Semaphore(self.concurrency)
        self._next = 0.0
        self._answers: dict[str, LlmAnswer] = {}
        if self.cache_file.exists():
            text = self.cache_file.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):  # end the half line of a run that was killed
                with self.cache_file.open("a") as file:
                    file.write("\n")
            for line in text.split("\n"):
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # the half line of a run that was killed while it wrote
                self._answers[row["key"]] = LlmAnswer(row["answer"], row.get("ended", True))

    async def ask(
        self, messages: list[dict[str, str]], max_tokens: int, shape: type[BaseModel] | None = None, seed: int = 0
    ) -> LlmAnswer:
        """Return the answer to the chat messages, from the file if it is there. shape: the model whose JSON schema the
        answer must follow. Raises RequestRefused, and the errors of the client for requests that keep failing.
        """
        from openai import BadRequestError, UnprocessableEntityError

        question: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": TEMPERATURE,
            "seed": seed,
        }
        if shape:
            question["response_format"] = json_schema_format(shape)
        key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        if key in self._answers:
            self.usage.kept += 1
            return self._answers[key]
        async with self._gate:
            await self._wait_for_rate()
            try:
                answer = await self.client.chat.completions.create(**question)
            except (BadRequestError, UnprocessableEntityError) as error:
                raise RequestRefused(str(error)) from error
        self.usage.asked += 1
        if answer.usage:
            self.usage.prompt_tokens += answer.usage.prompt_tokens
            self.usage.completion_tokens += answer.usage.completion_tokens
        result = LlmAnswer(str(answer.choices[0].message.content or ""), answer.choices[0].finish_reason != "length")
        self._answers[key] = result
        with self.cache_file.open("a", encoding="utf-8") as file:
            row = {"key": key, "answer": result.text, "ended": result.is_complete}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return result

    async def _wait_for_rate(self) -> None:
        """Wait until `per_minute` allows another question."""
        if not self.per_minute:
            return
        now = time.monotonic()
        self._next = max(now, self._next) + 60 / self.per_minute
        await asyncio.sleep(self._next - now - 60 / self.per_minute)

    def report(self, prompt_price: float, completion_price: float) -> dict[str, Any]:
        """Return the usage, and its cost at these prices of a million tokens."""
        return asdict(self.usage) | {"cost": round(self.usage.cost(prompt_price, completion_price), 4)}
