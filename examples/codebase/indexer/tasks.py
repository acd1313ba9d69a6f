"""The two background tasks of the demo, one that reads and one that computes. Both are idempotent: a second run writes the same row again."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
import warnings
from collections import Counter
from pathlib import Path

from django_ztask.decorators import task

from .models import SourceFile


@task(retry_count=2, retry_after=0.3)
def read_source(folder: str, path: str) -> int:
    """Read, hash and decode one file, the way Python itself would; returns its number of lines."""
    data = (Path(folder) / path).read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    lines = sum(1 for _ in io.TextIOWrapper(io.BytesIO(data), encoding))
    found = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    SourceFile.objects.update_or_create(path=path, defaults={**found, "encoding": encoding, "lines": lines})
    return lines


@task(retry_count=2, retry_after=0.3, pool="process")
def analyse_source(folder: str, path: str) -> int:
    """Parse one file and count what it defines; returns the number of definitions. It computes, so it runs in a child
    process of the daemon: in a slot, all others would stand still meanwhile."""
    data = (Path(folder) / path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old code is full of dubious escapes; not our subject
        tree = ast.parse(data, filename=path)
    kinds = Counter(map(type, ast.walk(tree)))
    functions = kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef]
    classes = kinds[ast.ClassDef]
    SourceFile.objects.update_or_create(path=path, defaults={"functions": functions, "classes": classes})
    return functions + classes
