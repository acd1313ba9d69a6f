"""The shop's own rows, so that tests see business data and tasks in one transaction."""

from django.db import models


class Order(models.Model):
    number = models.IntegerField()

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return f"order {self.number}"
