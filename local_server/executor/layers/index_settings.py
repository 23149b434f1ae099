"""The user's own settings for package indexes, made fit for a container.

Read from the environment and from pip's and npm's own files; written as a small directory that is mounted read-only
while an installation runs. What names a file or an address of this machine means nothing in a container and is left
out; certificates are merged into one bundle. Nothing of it reaches a layer.
"""

import configparser
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "retries", "no-index")
_NPM_KEYS = re.compile(
    r"registry|@[^:]+:registry|//.+|(https?-)?proxy|no-?proxy|strict-ssl|fetch-.+|maxsockets|before|_auth.*|always-auth"
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_GO_KEYS = (
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOSUMDB",
    "GOINSECURE",
    "GOFLAGS",
    "GOVCS",
)
_BUNDLE_KEYS = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
CA_FILE, PIP_FILE, NPM_FILE = "ca.pem", "pip.conf", "npmrc"


def write_settings(environment: Mapping[str, str], directory: Path) -> None:
    """Write the settings directory anew. Blocking."""
    directory.mkdir(parents=True, exist_ok=True)
    pip = pip_settings(environment)
    npm = npm_settings(environment)
    texts = {
        PIP_FILE: "[global]\n" + "".join(f"{key} = {value}\n" for key, value in pip.items()),
        NPM_FILE: "".join(f"{key}={value}\n" for key, value in npm.items()),
        CA_FILE: ca_bundle(environment),
    }
    for name, text in texts.items():
        _replace(directory / name, text)


def container_settings(environment: Mapping[str, str], inside: str, *, bundle: bool) -> dict[str, str]:
    """Environment variables that point the installers at the settings directory, and the user's proxies."""
    chosen = {name: value for name, value in environment.items() if name.upper() in _PROXIES or name in _GO_KEYS}
    chosen |= {"PIP_CONFIG_FILE": f"{inside}/{PIP_FILE}", "NPM_CONFIG_USERCONFIG": f"{inside}/{NPM_FILE}"}
    if bundle:
        names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile")
        chosen |= dict.fromkeys(names, f"{inside}/{CA_FILE}")
    return chosen


def pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What pip would use for finding packages: the environment before the files, the later file before the earlier."""
    found: dict[str, str] = {}
    for path in _pip_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip itself will say so where it runs
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= dict(parser.items(section))
    for name, value in environment.items():
        if name.startswith("PIP_"):
            found[name[4:].lower().replace("_", "-")] = value
    if "default-timeout" in found:
        found.setdefault("timeout", found["default-timeout"])
    reachable = {key: " ".join(_not_files(found[key].split())) for key in PIP_KEYS if key in found}
    return {key: value for key, value in reachable.items() if value}


def _pip_files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "/nonexistent")
    only = environment.get("PIP_CONFIG_FILE")
    if only == os.devnull:
        return
    for folder in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    if "APPDATA" in environment:
        yield Path(environment["APPDATA"], "pip", "pip.ini")
    if only:
        yield Path(only)


def npm_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What npm would use for finding packages, from its files and the environment; scoped registries and their
    tokens too."""
    found: dict[str, str] = {}
    for line in _npm_lines(environment):
        key, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith(("#", ";")):
            found[key.strip()] = _expand(value.strip().strip('"'), environment)
    for name, value in environment.items():
        if name.lower().startswith("npm_config_"):
            found[name[11:].replace("_", "-") if "/" not in name else name[11:]] = value
    return {key: value for key, value in found.items() if _NPM_KEYS.fullmatch(key) and value}


def _npm_lines(environment: Mapping[str, str]) -> Iterator[str]:
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "/nonexistent")
    lowered = {name.lower(): value for name, value in environment.items()}
    files = (
        Path("/etc/npmrc"),
        Path(lowered.get("npm_config_globalconfig") or "/usr/local/etc/npmrc"),
        Path(lowered.get("npm_config_userconfig") or home / ".npmrc"),
    )
    for path in files:
        try:
            yield from path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue


def _expand(value: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda name: environment.get(name[1], ""), value)


def ca_bundle(environment: Mapping[str, str]) -> str:
    """The certificates this machine trusts, those of a company's proxy included; empty when none are found."""
    pip_cert = environment.get("PIP_CERT") or ""
    chosen = [environment[name] for name in _BUNDLE_KEYS if environment.get(name)] or list(_SYSTEM_BUNDLES)
    texts = [text for path in [pip_cert, *chosen] if path and (text := _text(path))][:1]
    extra = environment.get("NODE_EXTRA_CA_CERTS")
    if texts and extra and (more := _text(extra)) and more.strip() not in texts[0]:
        texts.append(more)
    return "\n".join(texts)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _not_files(words: Iterable[str]) -> Iterator[str]:
    """Addresses a container can reach: no files, no paths."""
    return (word for word in words if not word.startswith(("file:", "/", "~", ".")))


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    # Readable inside by a user that may not be ours; the data directory above it is closed to others.
    os.chmod(name, 0o644)
    os.replace(name, path)
