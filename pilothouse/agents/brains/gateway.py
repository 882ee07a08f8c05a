"""To whoever answers: models by setting, asked in order of cost and health, until one has answered or the time is up.

    question ─▶ answered before, over the same data? ─▶ cheapest model whose server is well ─▶ next ─▶ ...

A model that fails is followed by the next at once. One that gives no sign of life for `patience` is not given up, since it may only be
slow: the next is asked beside it, and the first answer counts. Where all rest, the question waits for the first that is well again. So
none is lost while the run has time and money left, and each attempt is paid for by what was reserved for it before it was made.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pilothouse.agents.brains.conversation import Question, Said
from pilothouse.agents.brains.health import Health
from pilothouse.agents.brains.speakers import Failed, Speaker
from pilothouse.agents.budget import Account, Cost
from pilothouse.kernel.errors import AgentError, BudgetExceeded, ConfigError, ModelUnavailable
from pilothouse.kernel.settings import Settings

if TYPE_CHECKING:
    from pilothouse.agents.brains.answers import Answers

_MARGIN: Final = 0.2  # seconds of a run that are not used up by waiting, so that it ends within its time
_CACHED: Final = Cost(calls=1)
_T = TypeVar("_T")


@dataclass
class _Attempt:
    """One model that is being asked."""

    speaker: Speaker
    began: float
    sign: float = 0.0  # of life, the last

    def silent_since(self) -> float:
        return self.sign or self.began


@dataclass
class _Asking:
    """One question on its way: who is being asked, who was, and what became of it."""

    question: Question
    account: Account
    until: float
    candidates: list[Speaker]
    running: dict[asyncio.Task[Said], _Attempt] = field(default_factory=dict)
    refused: dict[str, Failed] = field(default_factory=dict)  # by model: asking again is of no use
    poor: dict[str, BudgetExceeded] = field(default_factory=dict)  # by model: it cannot be afforded
    failures: list[str] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)


class Gateway:
    """The models of an installation."""

    def __init__(
        self, speakers: Sequence[Speaker], *, cheapest: bool = True, answers: Answers | None = None, health: Health | None = None
    ) -> None:
        self.speakers = {each.name: each for each in speakers}
        self.health = health or Health()
        self._cheapest = cheapest
        self._answers = answers
        self._loop = _Loop()

    @classmethod
    def of(cls, settings: Settings, answers: Answers | None = None) -> Gateway:
        """As it is set; ConfigError where a model names a provider that is not."""
        speakers = []
        for name, given in settings.language_models.items():
            if given.provider not in settings.providers:
                raise ConfigError(
                    f"language_models.{name}: no provider '{given.provider}'",
                    hint=f"there are {', '.join(settings.providers) or 'none'}; declare it under [providers.{given.provider}]",
                )
            speakers.append(Speaker(name, given, settings.providers[given.provider]))
        return cls(speakers, cheapest=settings.gateway.route == "cheapest", answers=answers)

    def speaker(self, name: str) -> Speaker:
        """One model; ConfigError where none has that name."""
        if name not in self.speakers:
            raise ConfigError(
                f"no language model '{name}'", hint=f"there are {', '.join(self.speakers) or 'none'}; declare it in pilothouse.toml"
            )
        return self.speakers[name]

    def specs(self, models: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
        """What these names stand for."""
        return tuple(self.speaker(name).spec for name in models)

    def answer(self, question: Question, models: Sequence[str], account: Account) -> Said:
        """A model's next word. ModelUnavailable where none answers in time, BudgetExceeded where none can be afforded."""
        candidates = [self.speaker(name) for name in models]
        key = question.key(self.specs(models)) if self._answers is not None else b""
        if self._answers is not None and (known := self._answers.find(key)) is not None:
            with account.reserved(_CACHED, f"{known.model}, as it answered before") as reservation:
                reservation.used = _CACHED
            return known
        for each in candidates:
            _ = each.ready
        until = time.monotonic() + account.left.seconds - _MARGIN
        said = self._loop.run(self._race(_Asking(question, account, until, candidates)))
        if self._answers is not None:
            self._answers.keep(key, said)
        return said

    def check(self) -> dict[str, str]:
        """What is to be said of each model's server now: nothing where it is well."""
        return {name: self._loop.run(_checked(speaker)) for name, speaker in self.speakers.items()}

    def close(self) -> None:
        """Give back the connections."""
        self._loop.close(each.close() for each in self.speakers.values())

    async def _race(self, asking: _Asking) -> Said:
        try:
            while True:
                speaker = self._next(asking)
                if speaker is not None:
                    self._begin(asking, speaker)
                pause = self._pause(asking)
                if asking.running:
                    done, _ = await asyncio.wait(asking.running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        said = self._ended(asking, task)
                        if said is not None:
                            return replace(said, failures=tuple(asking.failures))
                elif pause > 0:
                    await asyncio.sleep(pause)
                self._hopeless(asking)
        finally:
            await self._call_off(asking)

    def _next(self, asking: _Asking) -> Speaker | None:
        """Who is to be asked now: nobody while somebody who shows life is speaking, else the best who is well and not asked already."""
        now = time.monotonic()
        if any(now - each.silent_since() < _patience(each.speaker) for each in asking.running.values()):
            return None
        ready = [each for each in self._possible(asking) if self.health.rests(each.server) == 0]
        return min(ready, key=lambda each: self._rank(asking, each), default=None)

    def _possible(self, asking: _Asking) -> list[Speaker]:
        asked = {each.speaker.name for each in asking.running.values()}
        return [each for each in asking.candidates if each.name not in asked | asking.refused.keys() | asking.poor.keys()]

    def _rank(self, asking: _Asking, speaker: Speaker) -> tuple[Any, ...]:
        """Whoever was of no use in this conversation last, then whoever has failed it least, then the cheapest."""
        known = [tokens for each in asking.candidates if (tokens := self.health.tokens(each.name)) is not None]
        tokens = self.health.tokens(speaker.name) or max(known, default=None)  # one that has not answered yet is thought to be like others
        cost = speaker.likely(asking.question, tokens) if self._cheapest else 0
        return speaker.name in asking.question.avoid, asking.tries.get(speaker.name, 0), cost, asking.candidates.index(speaker)

    def _begin(self, asking: _Asking, speaker: Speaker) -> None:
        attempt = _Attempt(speaker, time.monotonic())
        asking.tries[speaker.name] = asking.tries.get(speaker.name, 0) + 1
        asking.running[asyncio.create_task(_attempted(asking, attempt))] = attempt

    def _pause(self, asking: _Asking) -> float:
        """Until something may be due: a silence that has lasted too long, the end of somebody's rest, or of the time."""
        now = time.monotonic()
        others = self._possible(asking)
        due = [asking.until]
        if others:
            rest = min(self.health.rests(each.server) for each in others)
            silence = [each.silent_since() + _patience(each.speaker) for each in asking.running.values()]
            due.append(max(now + rest, *silence) if silence else now + rest)
        return max(0.0, min(due) - now)

    def _ended(self, asking: _Asking, task: asyncio.Task[Said]) -> Said | None:
        """What a model answered, or None and a note of why it did not."""
        attempt = asking.running.pop(task)
        speaker, error = attempt.speaker, task.exception()
        if error is None:
            said = task.result()
            self.health.answered(speaker.server)
            self.health.used(speaker.name, said.output_tokens)
            return said
        if isinstance(error, BudgetExceeded):
            asking.poor[speaker.name] = error
        elif isinstance(error, Failed):
            asking.failures.append(error.said)
            if error.refused:
                asking.refused[speaker.name] = error
            if error.ill:
                self.health.failed(speaker.server, error.said, after=error.after, refused=error.refused)
        else:
            raise error
        return None

    def _hopeless(self, asking: _Asking) -> None:
        """End a question that nobody will answer."""
        now, possible = time.monotonic(), self._possible(asking)
        if now < asking.until and (asking.running or any(now + self.health.rests(each.server) < asking.until for each in possible)):
            return
        told = "; ".join(dict.fromkeys(asking.failures)) or "none has answered"
        if not asking.running and not possible:
            if asking.poor:
                raise next(iter(asking.poor.values()))
            hint = next((each.hint for each in asking.refused.values() if each.hint), "`pilothouse gateway` shows who answers")
            raise AgentError(f"no language model takes the question: {told}", hint=hint)
        raise ModelUnavailable(
            f"no language model answers in the time that the run has: {told}",
            hint="`pilothouse gateway` shows who answers; the run can be made again",
        )

    async def _call_off(self, asking: _Asking) -> None:
        """Whoever still speaks is not listened to any more. What was silent for too long is held to be unwell."""
        now = time.monotonic()
        for task, attempt in asking.running.items():
            if now - attempt.silent_since() >= _patience(attempt.speaker):
                self.health.failed(
                    attempt.speaker.server, f"{attempt.speaker.name}: no sign of life for {now - attempt.silent_since():.1f} s"
                )
            task.cancel()
        if asking.running:
            await asyncio.wait(asking.running, timeout=1)
            for task in asking.running:
                if task.done() and not task.cancelled():
                    task.exception()  # heard, and of no interest any more


async def _attempted(asking: _Asking, attempt: _Attempt) -> Said:
    """Ask one model within what is reserved for it. What breaks off halfway, or is called off, counts as if it had cost the most."""
    speaker = attempt.speaker

    def alive() -> None:
        attempt.sign = time.monotonic()

    with asking.account.reserved(speaker.worst(asking.question), speaker.name) as reservation:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, asking.until - time.monotonic())):
                said = await speaker.ask(asking.question, alive)
        except Failed as error:
            if error.free:
                reservation.used = _CACHED
            raise
        except TimeoutError as error:
            raise Failed(f"{speaker.name}: no answer in the time that the run has") from error
        reservation.used = Cost(money=said.money, tokens=said.input_tokens + said.output_tokens, calls=1)
        return said


async def _checked(speaker: Speaker) -> str:
    try:
        async with asyncio.timeout(10):
            return await speaker.check()
    except (Failed, TimeoutError) as error:
        return str(error) or f"{speaker.name}: no answer within 10 s"


def _patience(speaker: Speaker) -> float:
    return speaker.provider.patience.total_seconds()


class _Loop:
    """A thread that asks, so that connections stay open from one question to the next and whoever decides needs to know of no loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, asking: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(asking, self._opened()).result()

    def _opened(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
                self._thread.start()
            return self._loop

    def close(self, last: Iterable[Coroutine[Any, Any, None]]) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
        for each in last:
            if loop is None:
                each.close()
            else:
                asyncio.run_coroutine_threadsafe(each, loop).result(timeout=5)
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(timeout=5)
            loop.close()
