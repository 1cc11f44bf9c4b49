"""What an attempt may spend, and what it has spent."""

from dataclasses import dataclass

from completion.chat import Usage


@dataclass(frozen=True)
class Budget:
    """Of one attempt. `steps` are answers of the model, `tokens` read and written ones, `money` is
    in the currency of the configured prices; 0 there: no limit."""

    steps: int = 40
    tokens: int = 400_000
    money: float = 0.0
    minutes: float = 20.0


@dataclass
class Spent:
    """So far. `seconds` are those of the model and of the tools, also of a run before a resume."""

    steps: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0

    def add(self, usage: Usage, seconds: float) -> None:
        """One answer."""
        self.steps += 1
        self.tokens += usage.tokens
        self.money += usage.cost
        self.seconds += seconds

    def over(self, budget: Budget) -> str:
        """Which limit is reached; "" if none is."""
        if self.steps >= budget.steps:
            return f"the budget of {budget.steps} steps is spent"
        if self.tokens >= budget.tokens:
            return f"the budget of {budget.tokens:,} tokens is spent"
        if budget.money and self.money >= budget.money:
            return f"the budget of {budget.money:.2f} in money is spent"
        if self.seconds >= budget.minutes * 60:
            return f"the budget of {budget.minutes:g} minutes is spent"
        return ""
