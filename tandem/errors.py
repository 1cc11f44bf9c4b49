"""Errors a person can act on: one line of what happened, one of what to do next."""


class TandemError(Exception):
    """Something went wrong that the user can mend.

    `message` says what happened in one line, `hint` what to do next, and `exit_code` is what
    the command line returns (1, or 2 for wrong usage).
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(TandemError):
    """The command, a file or a position given to us is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file, variable or option holds something we cannot use."""


class ModelError(TandemError):
    """A model is missing, damaged, or of a family that we cannot run."""


class EngineError(TandemError):
    """The model server did not answer, or answered with an error."""


class SandboxError(TandemError):
    """Docker, an image or a container is not there, or is not as it must be."""
