"""One row per source file; two independent tasks fill in one half each."""

from __future__ import annotations

from django.db import models


class SourceFile(models.Model):
    path = models.TextField(unique=True)  # relative to the indexed folder

    # filled by tasks.read_source
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.PositiveBigIntegerField(null=True)
    encoding = models.CharField(max_length=40, blank=True)
    lines = models.PositiveIntegerField(null=True)

    # filled by tasks.analyse_source; empty as long as the file does not parse
    functions = models.PositiveIntegerField(null=True)
    classes = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return self.path
