"""Refusals of publishing and pulling on the side of the machine that does it. What an error is made of stands in
errors.py."""

from collections.abc import Sequence

from local_server.domain.errors import ApimarketError


class DirectoryNotClean(ApimarketError):
    status, code, title = 409, "directory_not_clean", "The directory holds unpublished changes"

    def __init__(self, directory: str, changed: Sequence[str]) -> None:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5:,} more" if len(changed) > 5 else "")
        super().__init__(
            f"{directory} holds changes that were never published: {shown}",
            hint="Publish them first, or take them away; nothing was written.",
            extra={"changed": list(changed[:100])},
        )


class NothingServed(ApimarketError):
    status, code, title = 409, "nothing_served", "There is nothing to publish"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"What is published is what ran, and {name!r} {reason}",
            hint=f"Run it first: apimarket deploy {name} --wait",
        )


class NothingNew(ApimarketError):
    status, code, title = 409, "nothing_new", "There is nothing new to publish"

    def __init__(self, name: str, semver: str, remote: str, unserved: str = "", *, newest: bool = True) -> None:
        """`unserved`: why the last save is not what serves."""
        change = "Change something and save; what serves then can be published."
        which = f"The newest version of {name}, {semver}," if newest else f"Version {semver} of {name}"
        super().__init__(
            f"{which} has the very same files",
            hint=f"The last save does not serve: {unserved}" if unserved else change,
            extra={"version": semver, "name": name, "remote": remote, "unserved": unserved},
        )


class NoRemote(ApimarketError):
    status, code, title = 422, "no_remote", "No marketplace is known"

    def __init__(self, known: Sequence[str] = ()) -> None:
        one_of = f"; there are sessions with {', '.join(known)}" if known else ""
        super().__init__(
            f"It is not clear which marketplace is meant{one_of}",
            hint="Log in to one: apimarket login NAME --remote URL; or name it with --remote URL.",
            extra={"known": list(known)},
        )


class MarketplaceUnreachable(ApimarketError):
    status, code, title = 503, "marketplace_unreachable", "The marketplace does not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, hint="What waits in the outbox goes on by itself; for the rest try again later.")


class MarketplaceRefused(ApimarketError):
    """A marketplace's refusal, passed on: its words, and its code beside ours."""

    status, code, title = 502, "marketplace_refused", "The marketplace refused"

    def __init__(self, detail: str, hint: str, code: str, status: int) -> None:
        super().__init__(detail, hint=hint, extra={"marketplace_code": code, "marketplace_status": status})


class NotLoggedIn(ApimarketError):
    status, code, title = 403, "not_logged_in", "No session with that marketplace"

    def __init__(
        self, url: str, why: str = "nobody has logged in there from this machine", account: str = "NAME"
    ) -> None:
        super().__init__(
            f"{url} does not know who publishes: {why}",
            hint=f"apimarket login {account} --remote {url}  (what waits goes on by itself then)",
            extra={"remote": url},
        )


class AnotherMarketplace(ApimarketError):
    status, code, title = 409, "another_marketplace", "Another marketplace answers there"

    def __init__(self, url: str, known: str, found: str) -> None:
        super().__init__(
            f"{url} was the marketplace {known}, and now says that it is {found}",
            hint="What was signed for one is worth nothing in another. If it is meant to be: "
            f"apimarket sync --forget {url}, then publish again.",
            extra={"remote": url, "known": known, "found": found},
        )


class VersionTaken(ApimarketError):
    status, code, title = 409, "version_exists", "That version exists already"

    def __init__(self, name: str, semver: str, suggestion: str) -> None:
        super().__init__(
            f"{name} has a version {semver} already, and versions never change",
            hint=f"Try: apimarket publish {name.rpartition('/')[2]} --version {suggestion}",
            extra={"version": semver, "suggestion": suggestion},
        )


class NotAVersion(ApimarketError):
    status, code, title = 422, "not_a_version", "That is no version number"

    def __init__(self, name: str, text: str, suggestion: str) -> None:
        super().__init__(
            f"{text[:80]!r} is no version; allowed is MAJOR.MINOR.PATCH, as semver.org has it",
            hint=f"Try: apimarket publish {name.rpartition('/')[2]} --version {suggestion}",
        )


class NotPublished(ApimarketError):
    status, code, title = 404, "not_published", "It is not published there"

    def __init__(self, name: str, remote: str, versions: Sequence[str] = ()) -> None:
        """`name` is an API of this machine, or the OWNER/NAME of somebody's; `versions` are those of it that there are,
        newest first."""
        whose = f"Its owner may keep it private. Look for it: apimarket search --remote {remote}"
        if versions:
            whose = f"Its versions are {', '.join(versions[:8])}" + (" and older ones." if len(versions) > 8 else ".")
        super().__init__(
            f"{remote} has no published version of {name}" + (" that you may read" if "/" in name else ""),
            hint=whose if "/" in name else f"Publish it first: apimarket publish {name}",
        )


class VersionWaits(ApimarketError):
    status, code, title = 409, "version_waits", "That version is on its way already"

    def __init__(self, name: str, semver: str, state: str) -> None:
        super().__init__(
            f"{name} {semver} is in the outbox already, and is {state}",
            hint="See it with: apimarket sync",
            extra={"version": semver, "state": state},
        )


class ConflictWaits(ApimarketError):
    status, code, title = 409, "conflict_waits", "A conflict has to be settled first"

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(
            f"{name} has a version on the marketplace that this machine's was not made upon",
            hint=f"See both sides, and choose: apimarket sync --resolve {slug} --merge|--mine|--theirs|--fork NEW-NAME",
        )


class NoConflict(ApimarketError):
    status, code, title = 404, "no_conflict", "There is no conflict"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has nothing to settle with a marketplace", hint="See all with: apimarket sync")


class ConflictUnsettled(ApimarketError):
    status, code, title = 422, "conflict_unsettled", "The conflict is not settled yet"

    def __init__(self, paths: Sequence[str]) -> None:
        shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8:,} more" if len(paths) > 8 else "")
        super().__init__(
            f"Both sides changed {shown}, and nothing says which counts",
            hint=f"Choose for each, as --take '{paths[0]}=mine': mine, theirs or base; in the terminal UI also a text.",
            extra={"paths": list(paths[:200])},
        )


class CloneClashes(ApimarketError):
    status, code, title = 409, "clone_clashes", "What was changed here clashes with the version"

    def __init__(self, name: str, semver: str, paths: Sequence[str]) -> None:
        shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8:,} more" if len(paths) > 8 else "")
        super().__init__(
            f"{name} {semver} and what was changed here clash in {shown}; nothing was written",
            hint=f"Choose for each: apimarket pull {name} --take '{paths[0]}=mine', or theirs, or base.",
            extra={"paths": list(paths[:200]), "version": semver},
        )


class OutboxEntryNotFound(ApimarketError):
    status, code, title = 404, "outbox_entry_not_found", "Nothing like that is in the outbox"

    def __init__(self, op: str) -> None:
        super().__init__(f"There is no outgoing version {op[:80]!r}", hint="List them with: apimarket sync")


class OutboxEntryStuck(ApimarketError):
    status, code, title = 409, "outbox_entry_stuck", "It is too late for that"

    def __init__(self, semver: str, state: str, act: str) -> None:
        super().__init__(
            f"Version {semver} is {state}, and cannot be {act}",
            hint="A version that is published can be yanked: apimarket yank NAME VERSION --reason TEXT",
            extra={"state": state},
        )


class AnswerDamaged(ApimarketError):
    """What a marketplace sent is not what it says. Nothing of it was stored."""

    status, code, title = 502, "answer_damaged", "The marketplace's answer is damaged"

    def __init__(self, url: str, what: str) -> None:
        super().__init__(
            f"What {url} sent is not what it says it is: {what}",
            hint="Nothing was stored. Try again; if it stays, ask whoever runs the marketplace.",
            extra={"remote": url},
        )


class HistoryRewritten(ApimarketError):
    """A marketplace that went back in time: a database restored from an old backup."""

    status, code, title = 409, "history_rewritten", "The marketplace lost versions"

    def __init__(self, name: str, known: int, found: int) -> None:
        super().__init__(
            f"{name} was at revision {known} on the marketplace, and now is at {found}",
            hint="It was restored from a backup, it seems. Publish what is missing there again.",
            extra={"known": known, "found": found},
        )


class NobodyWaits(ApimarketError):
    """Who asked hung up: the answer reaches nobody, and is there for the log."""

    status, code, title = 499, "nobody_waits", "Given up"

    def __init__(self) -> None:
        super().__init__(
            "Whoever asked for it hung up before it was done", hint="Ask again: what came needs not come again."
        )
