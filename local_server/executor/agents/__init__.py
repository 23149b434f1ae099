"""The programs that run first in a sandbox, one a language, and what they need beside them."""
