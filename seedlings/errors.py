"""The base class of errors that a user can correct."""


class SeedlingsError(Exception):
    """An error in the input of a user; its message says what is wrong, where, and what to do.

    A stage or command prints it without a traceback, and exits with code 1.
    """
