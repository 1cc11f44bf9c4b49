"""What requests belong together, read from a request's body."""

import json

from completion import affinity


def key_of(body: bytes, base: str) -> str:
    """An adapter's requests belong to who has it; those of the base to who read their beginning.
    For what is no JSON, ""."""
    try:
        told = json.loads(body)
        model = told.get("model", "")
        if isinstance(model, str) and model not in ("", base):
            return f"\0adapter\0{model}"
        return affinity.key_of("", told)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ""
