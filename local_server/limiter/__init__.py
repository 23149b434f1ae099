"""The counter that several gateways share, in a Redis."""
