"""Every setting of the server, in one tree: from the command line, else `APIMARKET_*`, else these defaults."""

import getpass
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from local_server.domain.names import check_owner, slugify
from local_server.domain.publishing import Limits
from local_server.domain.registry_errors import InvalidName
from local_server.domain.server_errors import SettingRefused
from local_server.domain.trees import MAX_FILE_BYTES, MAX_FILES, MAX_TREE_BYTES

EMBEDDED = "embedded"
Role = Literal["all", "gateway", "executor", "analytics"]
_PREFIX = "APIMARKET_"


def default_home() -> Path:
    return Path(platformdirs.user_data_dir("apimarket", appauthor=False))


def default_owner() -> str:
    """The owner on a laptop is whoever is logged in."""
    try:
        return slugify(getpass.getuser(), fallback="me-myself")
    except (KeyError, OSError):  # a container with a uid that has no name
        return "owner"


class Settings(BaseSettings):
    """Settings of one server. An unknown `APIMARKET_*` variable is ignored; a wrong value is an error."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    profile: Literal["local", "hosted"] = "local"
    """hosted: keys are enforced everywhere, and nothing is kept of what passes through. With PostgreSQL always."""
    database: SecretStr = SecretStr("")
    """Empty: what the data directory holds already, else SQLite there. A `postgresql://` URL, or `embedded`: a
    PostgreSQL in the data directory, started and stopped with the server. Secret, since there may be a password."""
    redis_url: SecretStr = SecretStr("")
    """A Redis with which all servers that name it count limits together; empty: each counts alone."""
    redis_timeout_s: float = Field(default=0.1, gt=0)
    """How long a call waits for it; what takes longer is limited by this server alone."""
    role: Role = "all"
    """Which part of a marketplace this server is (docs/hosting.md); all: the whole of it."""
    gateway_url: str = "http://127.0.0.1:8080"
    """Of an executor: where callers find the gateways."""
    executor_url: str = "http://127.0.0.1:8081"
    """Of a gateway: who answers for everything but the traffic of APIs."""
    analytics_url: str = "http://127.0.0.1:8082"
    """Of a gateway: who answers for `/analytics`."""
    home: Path = Field(default_factory=default_home)
    """The data directory: registry, blobs, trees, layers, logs, token."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes any free one; `server.json` in the data directory says which."""
    engine: Literal["auto", "docker", "process"] = "auto"
    remote: str = ""
    """The marketplace to publish to and to pull from, where none is named."""
    owner: str = Field(default_factory=default_owner)
    projects: Path = Field(default_factory=Path.cwd)
    """Where new projects are made when no directory is named."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names to answer to, beside the loopback ones. In the environment with commas between them, or as JSON."""
    drain_s: float = Field(default=30.0, ge=0)
    warm_s: float = Field(default=10.0, ge=0)
    start_s: float = Field(default=30.0, gt=0)
    """A program must listen within this long."""
    poll: bool = False
    """Watch by polling: for network mounts, where no events arrive."""
    enforce_keys: bool = False
    """Calls over loopback need a key too, where the manifest says `auth = "key"`."""
    run_published: bool | None = None
    """Whether a marketplace runs what is published to it; None: where the engine holds APIs apart, as Docker does."""
    signups: Literal["open", "closed"] = "open"
    """closed: accounts are made by whoever holds the local token, and by nobody else."""
    publish_files: int = Field(default=MAX_FILES, ge=1, le=MAX_FILES)
    """How many files one published version may have."""
    publish_file_bytes: int = Field(default=MAX_FILE_BYTES, ge=1, le=MAX_FILE_BYTES)
    publish_tree_bytes: int = Field(default=MAX_TREE_BYTES, ge=1, le=MAX_TREE_BYTES)
    """All files of one published version together."""
    inspect: int | None = Field(default=None, ge=0, le=1000)
    """How many whole exchanges of each API are kept in memory; None: 50 on a laptop, none on a marketplace."""
    log_format: Literal["text", "json"] = "text"
    """Of the server's own log: lines for people, or one JSON object a line."""
    keep_executions_days: int = Field(default=30, ge=1)
    keep_minutes_days: int = Field(default=2, ge=1)
    """How long the figures of each minute are kept; those of each day are kept for ever."""
    keep_hours_days: int = Field(default=60, ge=8)
    """The figures of each hour; statistics over a week are made of them."""

    def hosts(self, *, isolated: bool) -> bool:
        """Whether other people's code is run here, on an engine that holds it apart or does not."""
        return self.profile == "hosted" and (isolated if self.run_published is None else self.run_published)

    @property
    def runs_apis(self) -> bool:
        return self.role in ("all", "executor")

    @field_validator("gateway_url", "executor_url", "analytics_url")
    @classmethod
    def _of_a_service(cls, given: str) -> str:
        if not given.startswith(("http://", "https://")):
            raise ValueError("it must be an http:// or https:// URL")
        return given.rstrip("/")

    @model_validator(mode="before")
    @classmethod
    def _hosted_with_postgres(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not given.get("database"):
            return given
        chosen = given["database"]
        url = chosen.get_secret_value() if isinstance(chosen, SecretStr) else str(chosen)
        if not url:
            return given
        if url != EMBEDDED and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("database must be a postgresql:// URL, or 'embedded', or nothing for SQLite")
        return given | {"profile": "hosted"}

    @field_validator("owner")
    @classmethod
    def _is_a_handle(cls, given: str) -> str:
        try:
            return check_owner(given)
        except InvalidName as error:
            raise ValueError(error.detail) from None

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except ValueError:
            return [host.strip() for host in given.split(",") if host.strip()]

    @field_validator("redis_url")
    @classmethod
    def _of_a_redis(cls, given: SecretStr) -> SecretStr:
        url = given.get_secret_value()
        if not url:
            return given
        try:
            parts = urlsplit(url)
            whole = parts.scheme == "unix" or (parts.port or 1) > 0
        except ValueError:  # which quotes what it could not read
            whole = False
        if not whole or parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("it must be a redis://, rediss:// or unix:// URL; in a password, / and @ are %2F and %40")
        return given

    @property
    def publish_limits(self) -> Limits:
        """Of what is published here. An account may have four versions' worth on its way."""
        return Limits(
            files=self.publish_files,
            file_bytes=self.publish_file_bytes,
            tree_bytes=self.publish_tree_bytes,
            staged_bytes=4 * self.publish_tree_bytes,
        )

    @property
    def inspected(self) -> int:
        """How many exchanges of each API are kept; none by a gateway, which nobody asks for them."""
        if self.role == "gateway":
            return 0
        if self.inspect is not None:
            return self.inspect
        return 50 if self.profile == "local" else 0


def read_settings(chosen: dict[str, object]) -> Settings:
    """`chosen`, else the environment, else the defaults. Raises SettingRefused."""
    try:
        settings = Settings.model_validate(Settings().model_dump() | chosen)
        if settings.database.get_secret_value() or not _is_embedded(settings.home):
            return settings
        return Settings.model_validate(settings.model_dump() | {"database": EMBEDDED})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # A rule about several settings names none: it is the database that decides.
        name = str(first["loc"][0]) if first["loc"] else "database"
        value = "" if name in _SECRET else repr(first["input"])
        raise SettingRefused(f"{_PREFIX}{name.upper()}", value, first["msg"].removeprefix("Value error, ")) from None


def _is_embedded(home: Path) -> bool:
    """Whether a marketplace lies there, and no SQLite: nobody means to begin an empty one beside."""
    return os.path.exists(home / "postgres/data/PG_VERSION") and not os.path.exists(home / "registry.db")


_SECRET = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
