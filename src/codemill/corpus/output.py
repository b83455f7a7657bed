"""Whose folder an output is: what a recipe may write to, so that no run overwrites or deletes what is not its own."""

from pathlib import Path
from typing import Any, Protocol

from codemill.errors import InputError
from codemill.recipe import kind_of
from codemill.store import Store

OWNER = ".codemill.json"  # who writes here: stands from the first write on, in finished outputs and killed ones
DONE = "codemill.json"  # written last, marks the output complete


class Named(Protocol):
    """What an output asks of a recipe of any kind."""

    @property
    def name(self) -> str: ...
    @property
    def store(self) -> str: ...


def claim_output(output: Store, recipe: Named) -> dict[str, Any]:
    """Make an output one that is being written: named after its recipe, without the mark of completion.

    Returns:
        what that mark said, nothing where there was none.

    Raises:
        InputError: see `check_output`.
    """
    own_output(output, recipe)
    if not output.exists(DONE):
        return {}
    made = output.read_json(DONE)
    output.delete(DONE)
    return made


def own_output(output: Store, recipe: Named) -> None:
    """Make an output this recipe's; what is complete stays so.

    Raises:
        InputError: see `check_output`.
    """
    check_output(output, recipe)
    output.write_json(OWNER, {"kind": kind_of(recipe), "name": recipe.name})


def check_output(output: Store, recipe: Named) -> None:
    """Raise unless an output is new, empty or what a recipe of this kind and name wrote.

    Raises:
        InputError: says what is there.
    """
    wanted = f"output {output.root}: expected a new folder or one of recipe {recipe.name!r}"
    if output.local and Path(output.base).exists() and not Path(output.base).is_dir():
        raise InputError(f"{wanted}, got a file")
    done = output.read_json(DONE) if output.exists(DONE) else {}
    if "format" in done:
        raise InputError(f"{wanted}, got a store")
    # Outputs of before had no owner: there the mark of completion tells the name, or the card that codemill wrote it.
    owner = output.read_json(OWNER) if output.exists(OWNER) else done
    if owner:
        kind, name = owner.get("kind", kind_of(recipe)), owner.get("name", recipe.name)
        if (kind, name) != (kind_of(recipe), recipe.name):
            raise InputError(f"{wanted} (kind {kind_of(recipe)}), got that of {name!r} (kind {kind})")
        return
    if output.exists("README.md"):
        if b"Made by codemill" not in output.read_bytes("README.md"):
            raise InputError(f"{wanted}, got one with a README.md of its own")
        return
    store = Path(Store(recipe.store).base)
    for entry in output.files(""):
        if Path(output.path(entry)) not in (store, *store.parents):
            raise InputError(f"{wanted}, got one with {entry!r} in it")
