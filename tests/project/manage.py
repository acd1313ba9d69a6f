"""The manage.py that acceptance tests start."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
