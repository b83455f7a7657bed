"""The errors a user can cause or meet; each is one line that says field, expectation and what came instead."""


class CodemillError(Exception):
    """Base of all errors that end a command with one line on stderr and exit code 1."""


class RecipeError(CodemillError):
    """A recipe or command-line setting is wrong."""


class InputError(CodemillError):
    """An input named by the user can't be used."""


class StoreError(CodemillError):
    """The store can't be read or written: locked, full, or not a store."""


class EngineError(CodemillError):
    """A worker failed in a way that is not a single file's fault."""


class ConservationError(CodemillError):
    """Counts don't add up: something seen was neither kept, dropped nor errored."""


class MissingExtra(CodemillError):
    """An optional dependency is not installed; the message holds the install line."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'codemill[{extra}]'")
