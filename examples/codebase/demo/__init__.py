"""What run_demo.py is made of: the daemon process, the progress display, the summary."""
