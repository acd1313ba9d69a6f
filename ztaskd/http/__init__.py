"""What --http serves: /livez, /readyz and /metrics. Without that flag nothing in here is imported, but for address.py."""
