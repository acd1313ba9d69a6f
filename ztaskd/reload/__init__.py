"""Reloading when code changes: what stands around the daemon and starts it anew. Neither Django nor gevent in here:
the parent process is small, unpatched, and knows nothing of the project but its files.
"""
