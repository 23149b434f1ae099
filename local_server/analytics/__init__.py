"""What goes through the gateway: counted live (`traffic.py`) and kept (`service.py`)."""
