"""The demo app: what is known about each source file, and the tasks that find it out."""
