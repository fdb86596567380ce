"""The error that a user can act on."""


class SeedlingsError(Exception):
    """Something in the input is wrong, and the message says what, where and what to do.

    A stage prints it without a traceback and exits with 1.
    """
