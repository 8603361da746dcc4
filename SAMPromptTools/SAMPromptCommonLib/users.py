"""Who keeps the worker warm."""

from __future__ import annotations

import weakref


class Users:
    """Objects counted once each; one that is gone without a word no longer counts."""

    def __init__(self) -> None:
        self._users: dict[int, object] = {}

    def __len__(self) -> int:
        self._users = {key: user for key, user in self._users.items() if _get(user) is not None}
        return len(self._users)

    def add(self, user: object) -> None:
        """Count ``user``."""
        try:
            self._users[id(user)] = weakref.ref(user)
        except TypeError:  # some objects cannot be watched: they count until they are removed
            self._users[id(user)] = user

    def remove(self, user: object) -> bool:
        """No longer count ``user``; whether nobody is left."""
        self._users.pop(id(user), None)
        return len(self) == 0


def _get(user: object) -> object | None:
    return user() if isinstance(user, weakref.ref) else user
