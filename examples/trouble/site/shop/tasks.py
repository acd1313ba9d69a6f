"""What the shop leaves to ztaskd: mail, a supplier's answer, a long import, and a picture that computes."""

import socket
import time
from pathlib import Path

from django.core.mail import send_mail

from django_ztask import current_task, task

HERE = Path(__file__).resolve().parents[1]


@task(queue="mail", retry_count=1, retry_after=0.5)
def mail_invoice(number):
    send_mail(f"Invoice {number}", "Dear customer", "shop@example.com", [f"c{number}@example.com"])


@task(queue="stock")
def ask_supplier(order):
    with socket.socket(socket.AF_UNIX) as supplier:
        supplier.connect(str(HERE / "run" / "supplier"))
        supplier.sendall(f"{order}\n".encode())
        return supplier.recv(1000).decode()


@task(queue="stock")
def import_prices(rows):
    for row in range(rows):
        current_task().progress(row, rows, "importing")
        time.sleep(0.15)


@task()
def render(picture):
    """Computes, and lets nobody else run, until a file of that name is there."""
    while not (HERE / "run" / picture).exists():
        sum(range(10_000))
