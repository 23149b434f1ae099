"""The control API about the server itself: who may call it, how its errors look, its health, events and doctor."""
