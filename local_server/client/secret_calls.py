"""The calls about secrets, described as in calls.py."""

from urllib.parse import quote

from local_server.client.calls import Call, api_path


def secrets(name: str) -> Call:
    return Call("GET", api_path(name, "/secrets"), "secrets:SecretView", many=True)


def variables(name: str) -> Call:
    return Call("GET", api_path(name, "/env"), "secrets:VariableView", many=True)


def put_secret(name: str, secret: str, value: str) -> Call:
    return Call("PUT", _secret(name, secret), "secrets:SecretChanged", body={"value": value})


def remove_secret(name: str, secret: str) -> Call:
    return Call("DELETE", _secret(name, secret), "secrets:SecretChanged")


def _secret(name: str, secret: str) -> str:
    return api_path(name, f"/secrets/{quote(secret, safe='')}")
