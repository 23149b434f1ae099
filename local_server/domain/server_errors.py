"""Why a server does not start, or is not reached."""

from local_server.domain.errors import ApimarketError


class PortTaken(ApimarketError):
    status, code, title = 503, "port_taken", "The port is taken"

    def __init__(self, port: int, holder: str, verb: str = "serve") -> None:
        super().__init__(
            f"Port {port} is taken by {holder}",
            hint=f"Try: apimarket {verb} --port {port + 1}",
            extra={"port": port},
        )


class DirectoryRefused(ApimarketError):
    """The data directory cannot be made, or not be written."""

    status, code, title = 503, "directory_refused", "The data directory cannot be used"

    def __init__(self, directory: str, reason: str) -> None:
        super().__init__(
            f"The data directory {directory} cannot be used: {reason}",
            hint="Name another one, which you may write: APIMARKET_HOME=DIR apimarket",
            extra={"directory": directory},
        )


class AddressRefused(ApimarketError):
    """No address of this machine, or not one for this user."""

    status, code, title = 503, "address_refused", "The server cannot listen there"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The server cannot listen on {host}, port {port}: {reason}",
            hint="Give an address of this machine, as 127.0.0.1 or, for others too, 0.0.0.0; and a port above 1023.",
            extra={"host": host, "port": port},
        )


class AlreadyRunning(ApimarketError):
    status, code, title = 409, "already_running", "A server is running already"

    def __init__(self, directory: str, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {directory} is in use by a server ({who})",
            hint="Use that one, or stop it first: apimarket stop",
            extra={"pid": pid},
        )


class KeyDiffers(ApimarketError):
    """What was begun or sealed with the key on one server would not hold on another. `database` is without who logs
    in."""

    status, code, title = 409, "key_differs", "The servers of this database have another key"

    def __init__(self, path: str, database: str) -> None:
        super().__init__(
            f"{path} is not the key that the other servers of {database} have",
            hint=f"Copy theirs to it, from the data directory of any of them: scp OTHER:{path} {path}",
            extra={"path": path, "database": database},
        )


class BlobsDiffer(ApimarketError):
    """Versions that are published on one server would have no files on another."""

    status, code, title = 409, "blobs_differ", "The servers of this database keep their files elsewhere"

    def __init__(self, path: str, database: str) -> None:
        super().__init__(
            f"{path} is not where the other servers of {database} keep the files of versions",
            hint=f"Mount theirs at {path}, or make it a link to that place.",
            extra={"path": path, "database": database},
        )


class RoleNeedsPostgres(ApimarketError):
    status, code, title = 422, "role_needs_postgres", "That role needs a PostgreSQL that several servers share"

    def __init__(self, role: str, database: str) -> None:
        super().__init__(
            f"--role {role} is one part of several, which share a PostgreSQL; this server has {database}",
            hint="Name the database with APIMARKET_DATABASE=postgresql://…, or leave --role away: one server does all.",
            extra={"role": role},
        )


class ExecutorTaken(ApimarketError):
    """Two would run every API twice, and each would take the other's containers for its own."""

    status, code, title = 409, "executor_taken", "Another executor runs"

    def __init__(self, database: str) -> None:
        super().__init__(
            f"An executor runs already on {database}",
            hint="End that one first. Gateways may be as many as you like: apimarket serve --role gateway",
            extra={"database": database},
        )


class RedisClientMissing(ApimarketError):
    status, code, title = 503, "redis_client_missing", "The client of Redis is not installed"

    def __init__(self) -> None:
        super().__init__(
            "APIMARKET_REDIS_URL names a Redis, and the package that speaks with one is missing",
            hint="Install it with: pip install 'apimarket[redis]'",
        )


class SettingRefused(ApimarketError):
    """`value` is empty where it must not be repeated: there may be a password in it."""

    status, code, title = 422, "setting_refused", "A setting cannot have that value"

    def __init__(self, variable: str, value: str, reason: str) -> None:
        super().__init__(
            f"{variable}{f' is {value}' if value else ''}: {reason[:1].lower()}{reason[1:]}",
            hint="Correct it in the environment, or on the command line, and start again.",
            extra={"variable": variable},
        )


class ServerUnreachable(ApimarketError):
    """Raised by the client, never sent by the server."""

    status, code, title = 503, "server_unreachable", "No server answers"

    def __init__(self, url: str, reason: str, *, elsewhere: bool = False) -> None:
        """`elsewhere`: it is another machine's, which nobody can start from here."""
        super().__init__(
            f"{url} does not answer: {reason}" if elsewhere else f"No apimarket server answers at {url}: {reason}",
            hint="Look at the address, and at this machine's network."
            if elsewhere
            else "Start one with: apimarket serve  (or just: apimarket)",
            extra={"url": url},
        )
