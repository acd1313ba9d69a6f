"""Task functions of the test site with arguments that nobody is to see."""

from django_ztask.decorators import task


class LoginError(Exception):
    """Knows more than it should tell."""


@task(sensitive=("token",), retry_count=1, retry_after=0)
def login(user, token, *, attempts=()):
    try:
        raise KeyError(token)
    except KeyError as error:
        error.add_note(f"with {[token]!r}")
        raise LoginError(f"{user} with {token!r} and {attempts}") from error


@task()
def forget(user, token):
    """Only some of its calls are sensitive."""
    raise LoginError(f"{user} with {token}")


@task(sensitive=("token",))
def odd_result(token):
    return Unspeakable(token)


class Unspeakable:
    def __init__(self, token):
        self.token = token

    def __repr__(self):
        return f"Unspeakable({self.token})"

    def __reduce__(self):
        raise TypeError(self.token)
