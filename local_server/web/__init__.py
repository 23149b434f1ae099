"""The terminal UI in a browser, for `apimarket web`: one process a page, on this machine, for who has the link."""
