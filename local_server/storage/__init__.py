"""Keeps what must outlive the process. `base.py` says what a store can do; the rest says how."""
