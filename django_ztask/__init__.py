"""django_ztask: what every Django process of a ztaskd project imports. Never gevent, never ztaskd."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_ztask.decorators import task
    from django_ztask.errors import TaskCancelled
    from django_ztask.execute import current_task
    from django_ztask.unconfirmed import flush

__all__ = ["TaskCancelled", "__version__", "current_task", "flush", "task"]

__version__ = "1.0.0.dev0"

_HOMES = {
    "task": "django_ztask.decorators",
    "TaskCancelled": "django_ztask.errors",
    "current_task": "django_ztask.execute",
    "flush": "django_ztask.unconfirmed",
}


def __getattr__(name: str) -> Any:
    """Imported when asked for: INSTALLED_APPS alone does not make every manage.py command load zmq."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
