"""The service: command files, the host of a graph, and twistd's options."""
