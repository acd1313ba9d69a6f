"""For gunicorn --preload: the master enqueues a task, and forks its workers after that."""

from django.db import connections

from tests.project.wsgi import application

__all__ = ["application"]

from tests.project.shop.tasks import mark

mark.async_("preload").result(20)
connections.close_all()
