"""The documentation is run: its console sessions, its files, its Python."""
