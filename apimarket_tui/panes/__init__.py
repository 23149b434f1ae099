"""The tabs of an API's screen that ask the server for what they show."""
