"""Who may come in: a link lets one browser in, once; from then on its cookie does."""

from collections.abc import Callable, Iterable
from hmac import compare_digest
from secrets import token_urlsafe

HOME = "/-/"
"""Where all of it lies. No API has a path like this, so that no browser ever sends the cookie, which knows no ports,
to an API on the same machine."""
PARAMETER = "link"


class Links:
    """A link is seen by whoever lists this user's processes while the browser starts: so it is good once. `told` is
    given each new one."""

    def __init__(self, port: int, told: Callable[[str], None]) -> None:
        self._origin, self._told = f"http://127.0.0.1:{port}", told
        self._name = f"apimarket-web-{port}"  # one machine has one jar for all ports
        self._secret = token_urlsafe(32)
        self._link = ""
        self._renew()

    @property
    def url(self) -> str:
        """The link that is good now."""
        return f"{self._origin}{HOME}?{PARAMETER}={self._link}"

    def take(self, link: str) -> bool:
        """Whether the link is the good one, which it then is no more."""
        if not compare_digest(link.encode(), self._link.encode()):
            return False
        self._renew()
        return True

    def cookie(self) -> str:
        """What `Set-Cookie` says. It ends with the browser, and is worth nothing once this process has ended."""
        return f"{self._name}={self._secret}; Path={HOME}; HttpOnly; SameSite=Strict"

    def knows(self, cookies: Iterable[bytes]) -> bool:
        """Whether one of the `Cookie` headers holds ours, whatever else of that name another page has set."""
        wanted = f"{self._name}={self._secret}".encode()
        return any(compare_digest(pair.strip(), wanted) for line in cookies for pair in line.split(b";"))

    def _renew(self) -> None:
        self._link = token_urlsafe(24)
        self._told(self.url)
