"""The shapes that cross HTTP: what server, command line and terminal UI agree on. Changes are only additive."""
