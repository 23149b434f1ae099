"""The Python agent. It is shipped into sandboxes as plain files and run as `python -u agent.py`; the server never
imports it. Standard library only, Python 3.9 and later. The words are those of docs/agent-protocol.md.

Three kinds of process: the *supervisor* (agent.py, process 1 of the sandbox) speaks the protocol and never runs a
user's code; the *template* imports third-party modules once and forks; a *generation* is such a fork, or a command.
"""
