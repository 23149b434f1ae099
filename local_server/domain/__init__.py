"""Frozen values and pure rules. Nothing here does I/O, knows the time, or imports anything but the standard library."""
