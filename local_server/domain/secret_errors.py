"""Refusals about the secrets of APIs. None of them ever holds a value."""

from collections.abc import Sequence

from local_server.domain.errors import ApimarketError


class SecretNameRefused(ApimarketError):
    status, code, title = 422, "invalid_secret_name", "That secret cannot be called so"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The secret's name: {reason}", hint="A secret is an environment variable of the program.")


class SecretValueRefused(ApimarketError):
    status, code, title = 422, "invalid_secret_value", "That value cannot be kept"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The value of {name} {reason}", hint="Give large data to the program in a file of its own.")


class SecretNotFound(ApimarketError):
    status, code, title = 404, "secret_not_found", "No such secret"

    def __init__(self, full_name: str, name: str) -> None:
        super().__init__(
            f"{full_name} has no secret {name[:80]!r}", hint=f"List them with: apimarket secrets list {full_name}"
        )


class TooManySecrets(ApimarketError):
    status, code, title = 409, "too_many_secrets", "That API has all the secrets it may"

    def __init__(self, full_name: str, most: int) -> None:
        super().__init__(
            f"{full_name} has {most} secrets; allowed: {most}",
            hint=f"Remove one that is not used: apimarket secrets rm {full_name} NAME",
        )


class SecretsMissing(ApimarketError):
    """The manifest names secrets that have no value here."""

    status, code, title = 409, "secrets_missing", "A secret has no value"

    def __init__(self, full_name: str, names: Sequence[str]) -> None:
        what = "a secret that has" if len(names) == 1 else "secrets that have"
        super().__init__(
            f"apimarket.toml names {what} no value here: {', '.join(names)}",
            hint=f"Give it one: apimarket secrets set {full_name} {names[0]}",
            extra={"missing": list(names)},
        )


class SecretsSealed(ApimarketError):
    """There are values, and the key they were sealed with is another one."""

    status, code, title = 409, "secrets_sealed", "A secret cannot be opened"

    def __init__(self, full_name: str, names: Sequence[str]) -> None:
        super().__init__(
            f"The key that sealed {', '.join(names)} is not the one in secrets.key",
            hint=f"Put that file back, or set them anew: apimarket secrets set {full_name} {names[0]}",
            extra={"sealed": list(names)},
        )
