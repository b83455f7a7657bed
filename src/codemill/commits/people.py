"""Identities of people, dropped or hashed: nothing that this package writes holds a name or an address."""

import hashlib
import re

import pygit2

ADDRESS = re.compile(r"<([^<>\s]+@[^<>\s]+)>|([^<>\s]+@[^<>\s]+)")


class Identities:
    """Turns people into nothing, or into 16 hex digits that stay the same for one address under one salt."""

    def __init__(self, mode: str, salt: str) -> None:
        self.hash = mode == "hash"
        self.salt = salt

    def of(self, person: pygit2.Signature) -> str | None:
        """The hash of a person's address (of the name where there is none), or None."""
        return self._digest(person.email or person.name)

    def trailer(self, value: str) -> str | None:
        """Likewise for a trailer's value, `Name <address>` in whole or in part."""
        found = ADDRESS.search(value)
        return self._digest(found[1] or found[2] if found else value)

    def _digest(self, text: str) -> str | None:
        if not self.hash:
            return None
        plain = f"{self.salt}\0{text.strip().lower()}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(plain).hexdigest()[:16]
