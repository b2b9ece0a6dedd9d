"""The stock types of node, one file each, named after the type."""
