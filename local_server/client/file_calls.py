"""The calls about an API's files, described as in calls.py."""

from urllib.parse import urlencode

from local_server.client.calls import Call, api_path


def files(name: str) -> Call:
    return Call("GET", api_path(name, "/files"), "files:FilesView", timeout_s=60.0)


def file(name: str, path: str, of: str = "directory") -> Call:
    """`of` is directory or running."""
    return Call("GET", api_path(name, f"/file?{urlencode({'path': path, 'of': of})}"), "files:FileView", timeout_s=60.0)
