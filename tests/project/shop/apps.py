"""The app of the test site."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.project.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"
