"""A view that makes an order and its task in one transaction."""

import os

from django.db import transaction
from django.http import HttpResponse, JsonResponse

from tests.project.shop.models import Order
from tests.project.shop.tasks import mark


def order(request, number):
    with transaction.atomic():
        Order.objects.create(number=number)
        handle = mark.async_(f"order-{number}")
        if "fail" in request.GET:
            raise RuntimeError("rolled back")
    return HttpResponse(handle.id)


def savepoint(request, number):
    """Keeps an order and its task, and drops others that were made in a savepoint."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                Order.objects.create(number=-number)
                mark.async_(f"dropped-{number}")
                raise RuntimeError("only this savepoint")
        except RuntimeError:
            pass
        Order.objects.create(number=number)
        handle = mark.async_(f"kept-{number}")
    return HttpResponse(handle.id)


def descriptors(request):
    """Without SQLite's files, which it keeps open a while for its locks' sake."""
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            pass  # that of listdir itself
    return JsonResponse({"pid": os.getpid(), "count": sum("sqlite" not in name for name in names)})
