"""Child processes for work that computes: each a plain interpreter that runs one task at a time.

frames.py is what daemon and child say to each other; child.py is the child's side; worker.py is the daemon's side of
one child; pool.py keeps as many as there are.
"""
