"""Talks to an OpenAI-compatible endpoint: as fast as allowed, patient when told to wait, counting what it costs."""

import asyncio
import email.utils
import math
import os
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx

from codemill.errors import InputError
from codemill.label.settings import EndpointSettings

RETRIABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
# The whole run is at fault, not one file.
FATAL = {401: "a valid key", 402: "an account with credit", 403: "access to the model", 404: "an endpoint and model"}
LONGEST_RETRY_AFTER = 600.0  # seconds; a server that asks for more is treated as saying no


class EndpointError(Exception):
    """One request came to nothing. `transient`: the endpoint did not answer; else it refused this very request."""

    def __init__(self, reason: str, transient: bool, status: int | None = None) -> None:
        super().__init__(reason)
        self.transient = transient
        self.status = status


class BudgetSpent(Exception):
    """No further request may be sent."""


@dataclass(frozen=True)
class Completion:
    """An answer and what it took. Token counts are the endpoint's, or estimated where it gives none."""

    text: str
    finished: bool  # False: cut off at the longest answer allowed
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Usage:
    """What the requests for one file took, those that came to nothing included."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class Meter:
    """Counts what is spent against what may be spent.

    `under_way` holds what requests not yet answered are expected to take, so that the limits hold although many run at
    once.
    """

    endpoint: EndpointSettings
    money: float | None = None
    tokens: int | None = None
    requests: int | None = None
    spent_requests: int = 0
    spent_prompt: int = 0
    spent_completion: int = 0
    under_way: int = 0
    answered: int = 0
    _prompt_under_way: int = 0

    def cost(self, prompt_tokens: float | None = None, completion_tokens: float | None = None) -> float:
        """Price of so many tokens; without arguments, of all spent so far."""
        prompt = self.spent_prompt if prompt_tokens is None else prompt_tokens
        completion = self.spent_completion if completion_tokens is None else completion_tokens
        return (prompt * self.endpoint.price_input + completion * self.endpoint.price_output) / 1e6

    def priced(self) -> bool:
        """Whether tokens cost money."""
        return bool(self.endpoint.price_input or self.endpoint.price_output)

    def start(self, prompt_tokens: int) -> None:
        """Enter a request.

        Raises:
            BudgetSpent: it could exceed the budget.
        """
        answers = (self.under_way + 1) * self.expected_answer()
        prompt = self.spent_prompt + self._prompt_under_way + prompt_tokens
        completion = self.spent_completion + answers
        if self.requests is not None and self.spent_requests + 1 > self.requests:
            raise BudgetSpent(f"budget: {self.requests:,} requests spent")
        if self.tokens is not None and prompt + completion > self.tokens:
            raise BudgetSpent(f"budget: {self.tokens:,} tokens spent")
        if self.money is not None and self.cost(prompt, completion) > self.money:
            raise BudgetSpent(f"budget: {self.money:g} spent")
        self.spent_requests += 1
        self.under_way += 1
        self._prompt_under_way += prompt_tokens

    def end(self, expected_prompt: int, completion: Completion | None) -> None:
        """Leave a request with what it took; None where it came to nothing."""
        self.under_way -= 1
        self._prompt_under_way -= expected_prompt
        if completion is not None:
            self.answered += 1
            self.spent_prompt += completion.prompt_tokens
            self.spent_completion += completion.completion_tokens

    def expected_answer(self) -> float:
        """Tokens of an answer: the longest allowed until ten have come, then half as much again as their mean."""
        if self.answered < 10:
            return self.endpoint.max_tokens
        return min(1.5 * self.spent_completion / self.answered, self.endpoint.max_tokens)


class Pacer:
    """Lets so many units pass per minute, evenly, with bursts of at most two seconds' worth (or one request)."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_second = per_minute / 60 if per_minute else None
        self.free_at = 0.0
        self.hold_until = 0.0

    async def wait(self, units: float) -> None:
        """Return when `units` may pass."""
        while (pause := self.hold_until - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        if self.per_second is None:
            return
        now = time.monotonic()
        self.free_at = max(self.free_at, now - 2.0)
        start = self.free_at
        self.free_at += units / self.per_second
        if start > now:
            await asyncio.sleep(start - now)

    def correct(self, units: float) -> None:
        """Take in that what passed was more (or less) than said."""
        if self.per_second is not None:
            self.free_at += units / self.per_second

    def hold(self, seconds: float) -> None:
        """Let nothing pass for so long: the endpoint said it is too much."""
        self.hold_until = max(self.hold_until, time.monotonic() + seconds)


def estimate_tokens(text: str) -> int:
    """Tokens of a prompt before the endpoint has counted them: code has about three characters to one."""
    return len(text) // 3 + 8


class Client:
    """One endpoint. Use as an async context manager.

    Raises:
        InputError: the environment variable for the key is not set.
    """

    def __init__(self, settings: EndpointSettings, meter: Meter) -> None:
        self.settings = settings
        self.meter = meter
        self.random = random.Random(0)
        self.requests = Pacer(settings.requests_per_minute)
        self.tokens = Pacer(settings.tokens_per_minute)
        headers = {}
        if settings.api_key_env is not None:
            key = os.environ.get(settings.api_key_env, "").strip()
            if not key:
                raise InputError(
                    f"endpoint.api_key_env: expected a key in the environment variable {settings.api_key_env}, got none"
                )
            headers["Authorization"] = f"Bearer {key}"
        limits = httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency)
        timeout = httpx.Timeout(settings.timeout, connect=min(settings.timeout, 30.0))
        self.http = httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout)
        self.url = settings.base_url.rstrip("/") + "/chat/completions"

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def complete(
        self,
        prompt: str,
        usage: Usage,
        response_format: dict[str, Any] | None,
        temperature: float,
        patient: bool = True,
    ) -> Completion:
        """The answer to a prompt.

        Args:
            usage: counted up.
            response_format: that field of the request, if any.
            patient: try again after a server error too, not only after 429 and broken connections.

        Raises:
            EndpointError: no answer after all attempts, or this request was refused.
            InputError: the endpoint refuses all requests (key, model, address).
            BudgetSpent: the budget allows no further request.
        """
        body = self._body(prompt, response_format, temperature)
        expected = estimate_tokens(prompt)
        for attempt in range(self.settings.retries + 1):
            await self.requests.wait(1)
            await self.tokens.wait(expected)
            self.meter.start(expected)
            usage.requests += 1
            completion = None
            try:
                response = await self.http.post(self.url, json=body)
                completion = self._read(response, prompt)
                usage.prompt_tokens += completion.prompt_tokens
                usage.completion_tokens += completion.completion_tokens
                self.tokens.correct(completion.prompt_tokens + completion.completion_tokens - expected)
                return completion
            except httpx.TransportError as error:
                failure = EndpointError(f"no answer: {type(error).__name__} {error}".strip(), transient=True)
                wait = self._back_off(attempt)
            except EndpointError as error:
                if not error.transient or not (patient or error.status == httpx.codes.TOO_MANY_REQUESTS):
                    raise
                failure, wait = error, self._pause(response, attempt)
            finally:
                self.meter.end(expected, completion)
            if attempt == self.settings.retries or wait > LONGEST_RETRY_AFTER:
                raise failure
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _body(self, prompt: str, response_format: dict[str, Any] | None, temperature: float) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": prompt}],
            self.settings.max_tokens_field: self.settings.max_tokens,
        }
        if self.settings.send_temperature:
            body["temperature"] = temperature
        if response_format is not None:
            body["response_format"] = response_format
        return body | self.settings.extra

    def _read(self, response: httpx.Response, prompt: str) -> Completion:
        if response.status_code in FATAL:
            raise InputError(
                f"endpoint {self.settings.base_url}: expected {FATAL[response.status_code]},"
                f" got {response.status_code} {_message(response)}"
            )
        if response.status_code != httpx.codes.OK:
            raise EndpointError(
                f"status {response.status_code}: {_message(response)}",
                transient=response.status_code in RETRIABLE,
                status=response.status_code,
            )
        try:
            data = response.json()
            choice = data["choices"][0]
            text = choice["message"]["content"] or ""
            usage = data.get("usage") or {}
            return Completion(
                text=str(text),
                finished=choice.get("finish_reason") != "length",
                prompt_tokens=int(usage.get("prompt_tokens") or estimate_tokens(prompt)),
                completion_tokens=int(usage.get("completion_tokens") or estimate_tokens(str(text))),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            # Proxies answer 200 with pages of their own when what is behind them is down.
            reason = f"expected a chat completion, got {response.text[:100]!r} ({type(error).__name__})"
            raise EndpointError(reason, transient=True) from error

    def _back_off(self, attempt: int) -> float:
        """Seconds before the next attempt: doubling from one, jittered so that many clients don't return at once."""
        return min(self.settings.max_wait, 2.0**attempt) * self.random.uniform(0.5, 1.0)

    def _pause(self, response: httpx.Response, attempt: int) -> float:
        told = retry_after(response.headers.get("retry-after"))
        if told is None:
            return self._back_off(attempt)
        if response.status_code in {429, 503}:
            self.requests.hold(min(told, LONGEST_RETRY_AFTER))
        return told


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _message(response: httpx.Response) -> str:
    """What an error response says, in one line."""
    try:
        error = response.json()["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(str(text).split())[:200]
