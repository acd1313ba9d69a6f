"""The two ways in which a run of the demo can end badly."""


class UsageError(Exception):
    """The command line or the surroundings are not right; nothing has been started. Exit status 2."""


class RunError(Exception):
    """Something went wrong in the run itself. Exit status 1."""
