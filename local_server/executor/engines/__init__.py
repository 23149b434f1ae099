"""The engines: Docker containers, and processes without isolation. Both pass `tests/contracts/test_engine.py`."""
