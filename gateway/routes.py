"""Which back ends may answer a request, in which order.

A request names a model, or a role (or nothing, which is its own role): then it is the first
back end of that role whose model it gets. The model's servers are its replicas; after them come
those that stand in, but only for chats: a completion's prompt is written for one model's template.
"""

import fnmatch
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from completion import affinity
from completion.engine.api import ApiError
from gateway.adapter_store import Shelf, Store
from gateway.backend import Backend
from gateway.config import ROLES, Role, Settings, User
from gateway.fields import Ask

# Of a server's row. Others may tell where a model lies on its disk.
_TOLD = {
    *("id", "object", "created", "owned_by", "parent", "capabilities", "context_length"),
    *("max_model_len", "fim_template"),
}
# What only one engine by itself can do.
_NOT_CARRIED = {"memory"}


@dataclass(frozen=True)
class Target:
    """A back end, and the name of the model to ask it for."""

    backend: Backend
    model: str
    stands_in: bool = False


def may_use(adapter: str, user: User) -> bool:
    """Whether an adapter of that name, if there is one, exists for a user."""
    return "adapters" in user.scopes and any(
        fnmatch.fnmatchcase(adapter, pattern) for pattern in user.adapters
    )


class Routes:
    """Over all back ends, in the order of the file."""

    def __init__(self, settings: Settings, backends: Sequence[Backend], store: Store) -> None:
        self._backends = backends
        self._store = store
        self._turns = itertools.count() if settings.choice == "round robin" else None

    def targets(self, ask: Ask, user: User) -> list[Target]:
        """The best first. Raises ApiError (403, 404)."""
        scope = "completion" if ask.kind == "completion" else "chat"
        if scope not in user.scopes:
            raise ApiError(403, f"Your token does not have the scope {scope}.", code="no_scope")
        able = [backend for backend in self._backends if self._does(backend, ask.role)]
        asked = ask.model or ask.role
        if asked in ROLES:
            fits = asked == ask.role or (scope == "chat" and asked != "completion")
            if not able or not fits:
                raise ApiError(404, f"No server here does {asked}.", code="model_not_found")
            model = able[0].settings.models[0]
        else:
            model = asked
        replicas = [backend for backend in able if model in backend.settings.models]
        if not replicas:
            model, replicas = self._with_adapter(model, able, user)
        targets = [Target(backend, model) for backend in self._ordered(ask, user, replicas)]
        if scope == "chat":
            targets += [
                Target(backend, backend.settings.models[0], stands_in=True)
                for backend in able
                if model in backend.settings.stands_in_for and backend not in replicas
            ]
        return targets

    def models(self, user: User) -> list[dict[str, Any]]:
        """The rows of /v1/models: what this user may ask for, base models first."""
        rows: dict[str, dict[str, Any]] = {}
        for backend in self._backends:
            scopes = {"completion" if r == "completion" else "chat" for r in backend.settings.roles}
            if not scopes & {*user.scopes}:
                continue
            for name in backend.settings.models:
                rows.setdefault(name, _row(name, backend))
        for backend in self._backends:
            for name in backend.adapters():
                known = may_use(name, user) and backend.cards[name]["parent"] in rows
                if known and self._store.owner(name) is None:
                    rows.setdefault(name, _row(name, backend))
        for shelf in self._store.shelves():
            model, servers = self._of_shelf(shelf, self._backends)
            if may_use(shelf.name, user) and servers and servers[0].cards[model]["parent"] in rows:
                told = {"id": shelf.name, "repository": shelf.repository}
                rows[shelf.name] = _row(model, servers[0]) | told
        return list(rows.values())

    def _does(self, backend: Backend, role: Role) -> bool:
        """Chat servers do an agent's work where nobody does it for a living."""
        if role == "agent" and not any("agent" in b.settings.roles for b in self._backends):
            role = "chat"
        return role in backend.settings.roles

    def _with_adapter(
        self, name: str, able: list[Backend], user: User
    ) -> tuple[str, list[Backend]]:
        """Who has it, under which name. Who may not use it is not told whether there is one."""
        if (shelf := self._store.named(name)) is not None:
            name, found = self._of_shelf(shelf, able)
            allowed = may_use(shelf.name, user)
        else:
            found = [backend for backend in able if name in backend.adapters()]
            allowed = may_use(name, user) and self._store.owner(name) is None
        if not found or not allowed:
            raise ApiError(
                404,
                "There is no model of that name for you here.",
                param="model",
                code="model_not_found",
            )
        return name, found

    @staticmethod
    def _of_shelf(shelf: Shelf, able: Sequence[Backend]) -> tuple[str, list[Backend]]:
        """The newest version that is loaded anywhere, and where."""
        for version in shelf.usable:
            served = shelf.served(version)
            if found := [backend for backend in able if served in backend.adapters()]:
                return served, found
        return shelf.name, []

    def _ordered(self, ask: Ask, user: User, replicas: list[Backend]) -> list[Backend]:
        if self._turns is not None:
            start = next(self._turns) % len(replicas)
            return replicas[start:] + replicas[:start]
        return affinity.order(affinity.key_of(user.tenant, ask.body), replicas)


def _row(name: str, backend: Backend) -> dict[str, Any]:
    bare = {"id": name, "object": "model", "owned_by": "gateway"}
    card = {key: value for key, value in backend.cards.get(name, bare).items() if key in _TOLD}
    if "capabilities" in card:
        card["capabilities"] = [c for c in card["capabilities"] if c not in _NOT_CARRIED]
    return card | {"roles": backend.settings.roles}
