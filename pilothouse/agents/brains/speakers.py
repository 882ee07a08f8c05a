"""One language model behind one server, asked through pydantic-ai.

pydantic-ai speaks every server's dialect. Its own retries and fallbacks are off: they would be made outside of the budget, and no one
would know of them. Its import costs half a second, so it is imported when a model is asked for the first time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from pilothouse.agents.brains.conversation import Message, Offer, Question, Said
from pilothouse.agents.budget import Cost
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.settings import PREFIX, LanguageModelSettings, ProviderSettings

_FRAMING: Final = 1_000  # tokens that a server may put around what we send, such as how it explains tools to its model
_LEAST: Final = 8  # bytes of a token, at most, in any text that we send: less than a text's eighth is never a true count
_MILLION: Final = 1_000_000
_USUAL: Final = 10_000  # tokens of a conversation: some servers take more for each where there are very many
_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "groq": "https://api.groq.com",
    "mistral": "https://api.mistral.ai",
    "ollama": "http://127.0.0.1:11434/v1",
}
_KEYLESS: Final = {"ollama", "compatible"}
_ID: Final = "call{:05d}"  # nine letters and digits, which is what the strictest server takes


class Failed(Exception):
    """A model gave no answer."""

    def __init__(
        self, said: str, *, refused: bool = False, free: bool = False, ill: bool = True, after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(said)
        self.said = said
        self.refused = refused  # asking again is of no use
        self.free = free  # it cannot have cost anything
        self.ill = ill  # it is the server, and not what it was asked
        self.after = after  # seconds that the server wants to be left alone
        self.hint = hint


@dataclass(frozen=True)
class Speaker:
    """A configured model."""

    name: str
    settings: LanguageModelSettings
    provider: ProviderSettings
    _entered: list[Any] = field(default_factory=list, repr=False, compare=False)

    @property
    def server(self) -> str:
        """Whose health it shares."""
        return self.settings.provider

    @property
    def spec(self) -> dict[str, Any]:
        """What its name stands for, as a decision's definition keeps it: no address, no key, no price."""
        given = self.settings
        return {"kind": self.provider.kind, "name": given.name, "temperature": given.temperature, "answer_tokens": given.answer_tokens}

    @cached_property
    def prices(self) -> tuple[Decimal, Decimal]:
        """Of a token that is sent, and of one that is answered; ConfigError where a server that charges has none set that is known."""
        given, kind = self.settings, self.provider.kind
        if given.input_price is not None and given.output_price is not None:
            return given.input_price / _MILLION, given.output_price / _MILLION
        known = (Decimal(0), Decimal(0)) if kind in _KEYLESS else _listed(kind, given.name)
        if known is None:
            raise ConfigError(
                f"language_models.{self.name}: what {given.name} costs is not known",
                hint=f"set input_price and output_price, in money per million tokens, under [language_models.{self.name}]",
            )
        return known

    def worst(self, question: Question) -> Cost:
        """The most that one attempt may cost. No tokenizer makes more tokens of a text than it has bytes."""
        sent = question.size + _FRAMING
        return self.cost(sent, self.settings.answer_tokens)

    def likely(self, question: Question, answer_tokens: float | None) -> Decimal:
        """What an attempt is expected to cost, to choose by."""
        tokens = answer_tokens if answer_tokens is not None else self.settings.answer_tokens / 4
        return self.cost(question.size // 4, int(tokens)).money

    def cost(self, sent: int, answered: int) -> Cost:
        """Of one attempt with so many tokens."""
        asking, answering = self.prices
        return Cost(money=sent * asking + answered * answering, tokens=sent + answered, calls=1)

    async def ask(self, question: Question, alive: Callable[[], None]) -> Said:
        """Its next word, read as it is said: `alive` is called at each sign of life. Failed where there is none, or half of one."""
        from pydantic_ai.direct import model_request, model_request_stream

        began, model = time.monotonic(), await self._model()
        messages, parameters, settings = self._put(question)
        put: dict[str, Any] = {"model_settings": settings, "model_request_parameters": parameters}
        try:
            if self.provider.stream:
                async with model_request_stream(model, messages, **put) as stream:
                    async for _ in stream:
                        alive()
                    response = stream.get()
            else:
                response = await model_request(model, messages, **put)
        except Exception as error:
            raise self._failed(error) from error
        said = self._said(question, response, time.monotonic() - began)
        if response.finish_reason is None and not _whole(said):
            raise Failed(f"{self.name}: the answer broke off in the middle")
        return said

    async def check(self) -> str:
        """Ask its server for what it offers, which costs nothing; returns what is to be said of it. Failed where it does not answer."""
        client = (await self._model()).client
        try:
            listing = client.models.list_async() if self.provider.kind == "mistral" else client.with_options(max_retries=0).models.list()
            listed = await listing
        except Exception as error:
            raise self._failed(error) from error
        offered = {each.id for each in listed.data or ()}
        return "" if not offered or self.settings.name in offered else f"its server does not list {self.settings.name}"

    @cached_property
    def ready(self) -> Any:
        """pydantic-ai's model. Importing it takes a second, which is not to pass while somebody waits for another model's answer;
        ConfigError where an address, a key or a price is missing."""
        _ = self.prices
        return _built(self)

    async def close(self) -> None:
        """Give back its connections."""
        while self._entered:
            await self._entered.pop().__aexit__(None, None, None)

    async def _model(self) -> Any:
        if not self._entered:
            self._entered.append(await self.ready.__aenter__())
        return self._entered[0]

    def _put(self, question: Question) -> tuple[list[Any], Any, Any]:
        """A question in pydantic-ai's words."""
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings
        from pydantic_ai.tools import ToolDefinition

        def defined(offer: Offer, kind: Any) -> Any:
            return ToolDefinition(name=offer.name, description=offer.description, parameters_json_schema=dict(offer.schema), kind=kind)

        parameters = ModelRequestParameters(
            function_tools=[defined(each, "function") for each in question.tools],
            output_tools=[defined(question.decide, "output")],
            output_mode="tool",
            allow_text_output=False,
        )
        timeout = self.provider.timeout.total_seconds()
        settings = ModelSettings(max_tokens=self.settings.answer_tokens, max_retries=0, timeout=timeout, request_timeout=timeout)
        if self.settings.temperature is not None:
            settings["temperature"] = self.settings.temperature
        return _translated(question.messages), parameters, settings

    def _said(self, question: Question, response: Any, seconds: float) -> Said:
        from pydantic_ai.messages import TextPart, ToolCallPart

        turn = sum(len(each.get("calls", ())) for each in question.messages)
        calls = [
            {"id": _ID.format(turn + number), "name": part.tool_name, "arguments": arguments_of(part)}
            for number, part in enumerate(each for each in response.parts if isinstance(each, ToolCallPart))
        ]
        cut_off = response.finish_reason == "length"
        if cut_off and calls and not calls[-1]["arguments"]:
            calls[-1]["arguments"] = ""  # half a call, for which servers of Anthropic's dialect give an empty object
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        sent = max(response.usage.input_tokens, question.size // _LEAST)
        answered = max(response.usage.output_tokens, len(repr(calls) + text) // _LEAST)
        return Said(
            model=self.name,
            text=text,
            calls=tuple(calls),
            cut_off=cut_off,
            input_tokens=sent,
            output_tokens=answered,
            money=self.cost(sent, answered).money,
            seconds=seconds,
        )

    def _failed(self, error: Exception) -> Failed:
        """What came of it, in our words: the cause, and whether it was paid for."""
        from pydantic_ai import exceptions as of

        told = f"{self.name}: {_short(error)}"
        if isinstance(error, of.ModelAuthenticationError):
            return Failed(told, refused=True, free=True, hint=f"set {PREFIX}PROVIDERS__{self.server.upper()}__KEY")
        if isinstance(error, of.ModelRequestRejectedError | of.ModelQuotaExceededError):
            ill = isinstance(error, of.ModelQuotaExceededError)
            return Failed(told, refused=True, free=True, ill=ill, hint=f"look at [language_models.{self.name}] and at what its server says")
        if isinstance(error, of.ModelAPIError):
            early = isinstance(error, of.ModelHTTPError) and not error.in_stream
            return Failed(told, free=early, after=error.retry_after)
        return Failed(told)


def _built(speaker: Speaker) -> Any:
    """A model as its settings say, and as nothing in the environment does."""
    given, kind, name = speaker.provider, speaker.provider.kind, speaker.settings.name
    url = given.url or _URLS.get(kind, "")
    if not url:
        raise ConfigError(
            f"providers.{speaker.server}: url is not set", hint="a compatible server is named by its url, such as http://host/v1"
        )
    if given.key is None and kind not in _KEYLESS:
        raise ConfigError(f"providers.{speaker.server}: key is not set", hint=f"set {PREFIX}PROVIDERS__{speaker.server.upper()}__KEY")
    key = given.key.get_secret_value() if given.key is not None else "none"
    # A server that is not its maker's own may take a marker that stands in a text for one of its own, whatever its model is called.
    profile: Any = {"may_tokenize_special_tokens_in_content": True} if given.url else None
    if kind == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(name, provider=AnthropicProvider(api_key=key, base_url=url), profile=profile)
    if kind == "groq":
        from pydantic_ai.models.groq import GroqModel
        from pydantic_ai.providers.groq import GroqProvider

        return GroqModel(name, provider=GroqProvider(api_key=key, base_url=url), profile=profile)
    if kind == "mistral":
        from pydantic_ai.models.mistral import MistralModel
        from pydantic_ai.providers.mistral import MistralProvider

        return MistralModel(name, provider=MistralProvider(api_key=key, base_url=url), profile=profile)
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.ollama import OllamaProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = (OllamaProvider if kind == "ollama" else OpenAIProvider)(base_url=url, api_key=key)
    return OpenAIChatModel(name, provider=provider, profile=profile)


def _whole(said: Said) -> bool:
    """Whether an answer is complete by itself, where a server does not say that it has ended."""
    return bool(said.text or said.calls) and all(isinstance(each["arguments"], Mapping) for each in said.calls)


def _translated(messages: tuple[Message, ...]) -> list[Any]:
    from pydantic_ai import messages as of

    told: list[Any] = []
    parts: list[Any] = []  # of a request that is not complete yet
    for message in messages:
        match message["role"]:
            case "system":
                parts.append(of.SystemPromptPart(message["text"]))
            case "user":
                parts.append(of.UserPromptPart(message["text"]))
            case "tool":
                outcome: Any = "failed" if message["failed"] else "success"
                parts.append(of.ToolReturnPart(message["name"], message["answer"], message["id"], outcome=outcome))
            case _:
                told.append(of.ModelRequest(parts=parts))
                parts = []
                said = [of.TextPart(message["text"])] if message["text"] else []
                called = [of.ToolCallPart(each["name"], _sendable(each["arguments"]), each["id"]) for each in message["calls"]]
                told.append(of.ModelResponse(parts=[*said, *called] or [of.TextPart("(nothing)")]))
    return [*told, of.ModelRequest(parts=parts)]


def _sendable(arguments: Any) -> dict[str, Any]:
    return dict(arguments) if isinstance(arguments, Mapping) else {"malformed": str(arguments)}


def arguments_of(call: Any) -> Any:
    """What a model calls a tool with: an object, or the text that should have been one."""
    given = call.args or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return call.args
    return given if isinstance(given, dict) else str(call.args)


def _listed(kind: str, model: str) -> tuple[Decimal, Decimal] | None:
    """Of a token each way, by a list that comes with pydantic-ai; None where it has no such model."""
    from genai_prices import Usage, calc_price

    try:
        sent = calc_price(Usage(input_tokens=_USUAL), model, provider_id=kind).input_price
        answered = calc_price(Usage(input_tokens=_USUAL, output_tokens=_USUAL), model, provider_id=kind).output_price
    except LookupError:
        return None
    return sent / _USUAL, answered / _USUAL


def _short(error: Exception) -> str:
    """One line of it: servers answer with whole pages."""
    said = " ".join(f"{error}".split())
    return f"{type(error).__name__}: {said[:200]}"
