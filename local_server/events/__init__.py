"""How news travels: inside the process (`bus.py`) and out to clients (`sse.py`)."""
