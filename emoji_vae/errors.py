"""Errors that a user can mend; command lines print them as one line and exit with 2."""


class InputError(ValueError):
    """Bad input. The message is one line that names the value and the remedy."""


class MissingExtraError(InputError):
    """A part of the project needs packages that the base install leaves out."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'emoji-sqam[{extra}]'")
        self._parts = what, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # For errors that come from another process, which are made again of these.
        return type(self), self._parts
