"""The one error that is the user's to mend."""


class UserError(ValueError):
    """Bad input or a broken surrounding: one line that says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """
