"""The Django app: its label, and the system checks. No work at import."""

from django.apps import AppConfig


class DjangoZtaskConfig(AppConfig):
    name = "django_ztask"
    label = "django_ztask"
    verbose_name = "Background tasks"
    # Set here, so that Django 5.2 and 6 (whose defaults differ) see the same migrations.
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_ztask import checks  # noqa: F401  (registers the checks)
