"""django_ztask: what every Django process of a ztaskd project imports. Never gevent, never ztaskd."""

from django_ztask.decorators import task
from django_ztask.execute import current_task

__all__ = ["__version__", "current_task", "task"]

__version__ = "1.0.0.dev0"
