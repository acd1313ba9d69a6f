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


def descriptors(request):
    return JsonResponse({"pid": os.getpid(), "count": len(os.listdir("/proc/self/fd"))})
