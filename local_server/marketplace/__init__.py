"""The marketplace: what is listed, and who has subscribed to it."""
