"""ztaskd: the daemon. Imports django_ztask; nothing imports it."""
