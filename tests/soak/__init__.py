"""What takes minutes, or a thousand repetitions: ``tox -e soak``."""
