"""How much a user may ask: requests a minute, tokens a day, requests at once.

A minute's requests are a bucket that fills steadily. Tokens are set aside when a request starts,
as many as it may use, and settled when it ends; days are UTC. What was used today is told at the
start (by the ledger), so that a restart gives nobody a second day.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from completion.engine.api import ApiError
from gateway.config import User

DAY = 86_400


@dataclass
class Charge:
    """Tokens of one request: what was set aside until `used` is told."""

    reserved: int
    used: int | None = None


@dataclass
class _Account:
    bucket: float
    filled: float
    day: int
    tokens: int = 0
    running: int = 0


class Quotas:
    """Of all users. `monotonic` and `now` give seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._now = now
        self._accounts: dict[str, _Account] = {}

    def tell(self, name: str, user: User, tokens: int) -> None:
        """What a user has used today already."""
        self._account(name, user).tokens += tokens

    def today(self, name: str, user: User) -> int:
        return self._account(name, user).tokens

    @contextlib.contextmanager
    def admitted(self, name: str, user: User, tokens: int) -> Iterator[Charge]:
        """A request that may use so many `tokens`. Raises ApiError (429)."""
        account = self._account(name, user)
        if account.running >= user.at_once:
            raise _refusal("You have too many requests under way.", "too_many_at_once", 1)
        if account.bucket < 1:
            wait = (1 - account.bucket) * 60 / user.requests_per_minute
            raise _refusal(
                f"You may ask {user.requests_per_minute} times a minute.", "rate_limit", wait
            )
        limit = user.tokens_per_day
        if limit is not None and account.tokens + tokens > limit:
            raise _refusal(
                f"Your {limit} tokens of today (UTC) are used, or would be by this request.",
                "quota_exceeded",
                DAY - self._now() % DAY,
            )
        account.bucket -= 1
        account.running += 1
        account.tokens += tokens
        day, charge = account.day, Charge(tokens)
        try:
            yield charge
        finally:
            account.running -= 1
            if account.day == day:
                used = tokens if charge.used is None else charge.used
                account.tokens += used - tokens

    def _account(self, name: str, user: User) -> _Account:
        now, day = self._monotonic(), int(self._now() // DAY)
        account = self._accounts.get(name)
        if account is None:
            account = _Account(float(user.requests_per_minute), now, day)
            self._accounts[name] = account
        gained = (now - account.filled) * user.requests_per_minute / 60
        account.bucket = min(float(user.requests_per_minute), account.bucket + gained)
        account.filled = now
        if account.day != day:
            account.day, account.tokens = day, 0
        return account


def _refusal(message: str, code: str, wait: float) -> ApiError:
    seconds = str(max(1, int(wait + 0.999)))
    return ApiError(429, message, code=code, headers={"Retry-After": seconds})
