"""Runs APIs: watches their directories, turns each save into a generation, and converges on what should run."""
