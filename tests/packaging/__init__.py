"""What an installed ngksock looks like; run by ``tox -e packaging``."""
