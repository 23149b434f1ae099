"""The terminal UI: a client of the local server's contract. Importing this package imports nothing else."""
