"""Widgets: they take data and post messages, and know neither the app nor the server."""
