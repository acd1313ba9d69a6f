"""A view that makes an order and its task in one transaction."""

from django.db import transaction
from django.http import HttpResponse

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
