"""How the Go agent is compiled, and the environment of every Go build: the same with Docker and without."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

COMPILE = ("build", "-trimpath", "-ldflags", "-s -w")


def build_environment(user: Mapping[str, str], build_cache: str, module_cache: str) -> dict[str, str]:
    """The user's GOFLAGS stay; besides, the module cache can be deleted, no tree is taken for a git checkout, no other
    toolchain is downloaded, and what is built needs no C library."""
    flags = " ".join([user.get("GOFLAGS", ""), "-modcacherw", "-buildvcs=false"]).strip()
    return {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOCACHE": build_cache,
        "GOMODCACHE": module_cache,
        "GOFLAGS": flags,
    }


def sources_digest(source: Path, made_for: str) -> str:
    """Names a compiled agent by its sources and its compiler. Blocking."""
    digest = hashlib.sha256(made_for.encode())
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix in {".go", ".mod", ".sum"} and not path.name.endswith("_test.go"):
            digest.update(f"\0{path.relative_to(source).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:24]
