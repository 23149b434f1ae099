"""Accounts and API keys: who may use the control API, and who may call an API."""
