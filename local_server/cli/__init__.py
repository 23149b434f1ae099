"""The command line: `apimarket VERB`. One file a group of verbs, each imported when it is used."""

from local_server.cli.program import main

__all__ = ["main"]
