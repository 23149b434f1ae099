"""A server that is one part of several: a gateway without an executor, statistics alone."""
