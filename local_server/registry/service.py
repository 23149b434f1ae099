"""What can be done with the registry of APIs. Files are read and written beside the event loop."""

import asyncio
import contextlib
import difflib
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from weakref import WeakValueDictionary

from local_server.domain.events import ApiChanged, ApiRegistered, ApiRemoved
from local_server.domain.ids import ApiId
from local_server.domain.manifest import MANIFEST_NAME, Manifest, RunSpec, Visibility
from local_server.domain.manifest_toml import parse, problem_at, render
from local_server.domain.names import check_slug, slugify
from local_server.domain.registry import Api, ApiStage, User
from local_server.domain.registry_errors import (
    ApiNotFound,
    DirectoryTaken,
    InvalidManifest,
    InvalidName,
    NameTaken,
    UnusableDirectory,
)
from local_server.registry import manifest_file
from local_server.registry.detect import detect
from local_server.registry.ignore import Ignore
from local_server.registry.manifest_file import TomlValue
from local_server.registry.source import check_directory, walk
from local_server.registry.templates import Template, find_template, list_templates, write_template
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System


class Registry:
    """`owner` is whose APIs these are; `projects_dir` is where new ones go unless told otherwise."""

    def __init__(self, storage: Storage, system: System, projects_dir: Path, owner: User) -> None:
        self._storage = storage
        self._system = system
        self._projects_dir = projects_dir
        self._registering: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self.owner = owner

    async def register(self, directory: Path, name: str | None = None) -> Api:
        """Make an API of an existing directory, by its apimarket.toml or else by what is found in it; then one is
        written. An existing apimarket.toml is never touched.

        Raises UnusableDirectory, InvalidManifest, InvalidName, NameTaken, DirectoryTaken.
        """
        if name is not None:
            check_slug(name)
        # One at a time in a directory: the second must neither read the first one's unfinished file nor remove it.
        root = await asyncio.to_thread(check_directory, directory)
        async with self._registering.setdefault(root, asyncio.Lock()):
            return await self._register(root, name)

    async def _register(self, root: Path, name: str | None) -> Api:
        project = await asyncio.to_thread(_inspect, root, name)
        await self._storage.read(lambda tx: self._check_free(tx, project.manifest.name, project.root))
        if project.text is not None:
            return await self._add(project)
        await asyncio.to_thread(_create_manifest, project)
        try:
            return await self._add(project)
        except Exception:  # not when cancelled: what storage has begun it finishes
            with contextlib.suppress(OSError):
                (project.root / MANIFEST_NAME).unlink()
            raise

    async def scaffold(self, name: str, template: str = "python", directory: Path | None = None) -> Api:
        """Write a template into a new or empty directory, whole or not at all, and register it.

        Raises InvalidName, TemplateNotFound, UnusableDirectory, NameTaken, DirectoryTaken.
        """
        check_slug(name)
        target = directory if directory is not None else self._projects_dir / name
        found = await asyncio.to_thread(find_template, template)
        await self._storage.read(lambda tx: self._check_free(tx, name, target))
        was_there = await asyncio.to_thread(_scaffold, found, target, name)
        try:
            return await self.register(target)
        except Exception:  # not when cancelled: what storage has begun it finishes
            await asyncio.to_thread(_unscaffold, target, was_there)
            raise

    async def templates(self) -> Sequence[Template]:
        return await asyncio.to_thread(list_templates)

    async def list(self, user: User | None = None) -> Sequence[Api]:
        """By owner and name; with `user` that one's only."""
        return await self._storage.read(lambda tx: tx.registry.all(user.id if user else None))

    async def search(self, query: str, user: User | None = None) -> Sequence[Api]:
        """By name, summary, tags and category; best first. Without any word: all. With `user` that one's only."""
        if not query.strip():
            return await self.list(user)
        return await self._storage.read(lambda tx: tx.registry.search(query, user_id=user.id if user else None))

    async def resolve(self, reference: str, user: User | None = None) -> Api:
        """The API that an id, a name, or `owner/name` means. With `user` only that one's: of others nobody learns
        whether they exist. Raises ApiNotFound, with the names that are close."""

        def find(tx: ReadTx) -> Api:
            owner, slash, slug = reference.rpartition("/")
            found = tx.registry.by_name(owner if slash else (user or self.owner).handle, slug)
            if found is None and not slash:
                found = tx.registry.get(ApiId(reference))
            if user is not None and found is not None and found.user_id != user.id:
                found = None
            if found is None or found.stage is ApiStage.REMOVED:
                names = [api.slug for api in tx.registry.all(user.id if user else None)]
                raise ApiNotFound(reference, difflib.get_close_matches(slug.casefold(), names, n=3, cutoff=0.5))
            return found

        return await self._storage.read(find)

    async def reload_manifest(self, api: Api, text: str) -> Api:
        """Take over what the API's apimarket.toml says now; nothing is stored when it says the same as before.

        Raises InvalidManifest, also when the file gives the API another name, and ApiNotFound when it was removed.
        """
        return await self._take(api, parse_for(api, text))

    async def patch(
        self,
        api: Api,
        *,
        summary: str | None = None,
        tags: Sequence[str] | None = None,
        visibility: Visibility | None = None,
    ) -> Api:
        """Change what is given, in the API's apimarket.toml and in the registry. The file keeps its comments and
        layout; if it was deleted, it is written anew. Raises InvalidManifest, UnusableDirectory, ApiNotFound."""
        wanted: dict[str, TomlValue | None] = {}
        if summary is not None:
            wanted["api.summary"] = summary
        if tags is not None:
            wanted["api.tags"] = tags
        if visibility is not None:
            wanted["api.visibility"] = str(visibility)
        if not wanted:
            return api
        if not api.directory:
            raise UnusableDirectory(
                f"The directory of {api.full_name}",
                "is elsewhere: it was published to here",
                "Publish a version whose apimarket.toml says so.",
            )
        return await self._take(api, await asyncio.to_thread(_edit_manifest, api, wanted))

    async def remove(self, api: Api) -> None:
        """Forget the API and everything recorded about it. Its directory stays as it is. Twice is as good as once. What
        was published is removed already, and keeps its name."""

        def forget(tx: Tx) -> None:
            known = tx.registry.get(api.id)
            if known is not None and known.stage is not ApiStage.REMOVED:
                tx.registry.remove(api.id)
                tx.emit(ApiRemoved(api.id, api.slug))

        await self._storage.write(forget)

    async def _add(self, project: "_Project") -> Api:
        now = self._system.now()
        api = Api(
            id=ApiId(self._system.new_id()),
            user_id=self.owner.id,
            owner=self.owner.handle,
            slug=project.manifest.name,
            directory=str(project.root),
            manifest=project.manifest,
            stage=ApiStage.DRAFT,
            revision=1,
            created_at=now,
            updated_at=now,
        )

        def add(tx: Tx) -> Api:
            self._check_free(tx, api.slug, project.root)
            tx.registry.add(api)
            tx.emit(ApiRegistered(api.id))
            return tx.registry.get(api.id) or api

        return await self._storage.write(add)

    def _check_free(self, tx: ReadTx | Tx, name: str, directory: Path) -> None:
        by_directory = tx.registry.by_directory(str(directory))
        if by_directory is not None:
            raise DirectoryTaken(str(directory), by_directory.slug)
        by_name = tx.registry.by_name(self.owner.handle, name)
        if by_name is not None:
            raise NameTaken(name, by_name.directory)

    async def _take(self, api: Api, manifest: Manifest) -> Api:
        def save(tx: Tx) -> Api:
            current = tx.registry.get(api.id)
            if current is None:
                raise ApiNotFound(api.slug)
            if current.manifest == manifest:
                return current
            new = changed(current, manifest=manifest, updated_at=self._system.now())
            saved = tx.registry.save(new, current.revision)
            tx.emit(ApiChanged(api.id))
            return saved

        return await self._storage.write(save)


@dataclass(frozen=True, slots=True)
class _Project:
    root: Path
    manifest: Manifest
    text: str | None
    """Of the apimarket.toml that was there."""


def _inspect(root: Path, name: str | None) -> _Project:
    ignore = Ignore.load(root)
    if sum(1 for _ in walk(root, ignore)) == 0:  # to the end: each file is checked on the way
        raise UnusableDirectory(
            str(root), "holds nothing but what is left out of APIs", f"Begin with a template: apimarket new {root.name}"
        )
    text = manifest_file.read(root)
    if text is None:
        return _Project(root, _detected(root, name), None)
    manifest = parse(text, str(root / MANIFEST_NAME))
    if name is not None and name != manifest.name:
        raise InvalidName(name, f"is not what {root / MANIFEST_NAME} says: {manifest.name!r}", manifest.name)
    return _Project(root, manifest, text)


def _detected(root: Path, name: str | None) -> Manifest:
    found = detect(root)
    # One entry point is found again at each save, wherever it moves; of several, one has to be settled.
    entry = found.entry if found.alternatives else None
    run = RunSpec(entry=entry, command=found.command)
    return Manifest(name or check_slug(slugify(root.name)), found.runtime, found.runtime_version, run=run)


def _create_manifest(project: _Project) -> None:
    try:
        manifest_file.create(project.root, render(project.manifest))
    except FileExistsError:
        raise UnusableDirectory(
            str(project.root), f"got an {MANIFEST_NAME} at this very moment", "Register it again."
        ) from None
    except OSError as error:
        raise UnusableDirectory(
            str(project.root),
            f"does not let {MANIFEST_NAME} be written: {error.strerror}",
            f"Allow it: chmod u+w {project.root}",
        ) from None


def parse_for(api: Api, text: str) -> Manifest:
    """The manifest in `text`, if it is still this API's."""
    manifest = parse(text)
    if manifest.name != api.slug:
        message = (
            f"found {manifest.name!r}, but this API is registered as {api.slug!r}, which is part of its URL; allowed:"
            f' "{api.slug}". To rename it: apimarket rm {api.slug}, then apimarket add {api.directory}'
        )
        raise InvalidManifest([problem_at(text, ("api", "name"), message)])
    return manifest


def _edit_manifest(api: Api, wanted: dict[str, TomlValue | None]) -> Manifest:
    root = check_directory(Path(api.directory))
    before = manifest_file.read(root)
    text = manifest_file.edit(render(api.manifest) if before is None else before, wanted)
    manifest = parse_for(api, text)
    if text != before:
        manifest_file.replace(root, text)
    return manifest


def _scaffold(template: Template, target: Path, name: str) -> bool:
    """Write the project; returns whether the (empty) directory was there before."""
    if not target.is_absolute():
        raise UnusableDirectory(str(target), "is not an absolute path", "Give the whole path, from / on.")
    was_there = os.path.lexists(target)
    if was_there and (not target.is_dir() or target.is_symlink() or any(target.iterdir())):
        what = "is not empty" if target.is_dir() else "is a file"
        hint = f"Choose another: apimarket new {name} --dir …; or register what is there: apimarket add {target}"
        raise UnusableDirectory(str(target), what, hint)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        unfinished.mkdir(parents=True)
        write_template(template, unfinished, name)
        if was_there:
            target.rmdir()  # Windows does not rename onto a directory, not even an empty one
        unfinished.rename(target)
    except OSError as error:
        raise UnusableDirectory(
            str(target), f"cannot be made: {error.strerror}", f"Choose another: apimarket new {name} --dir …"
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return was_there


def _unscaffold(target: Path, was_there: bool) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if was_there:
        target.mkdir(exist_ok=True)
