"""How a URL names an API: `/apis/{id:api}` takes an id, a name, or `owner/name`."""

from starlette.convertors import Convertor, register_url_convertor

# What may follow an API in a path. `owner/status` is therefore the status of `owner`, never an API called status of
# that owner, which can be reached by its id or its name alone.
SUB_RESOURCES = (
    "status",
    "deploy",
    "upload",
    "restart",
    "stop",
    "start",
    "undo",
    "rollback",
    "logs",
    "requests",
    "exchanges",
    "history",
    "stats",
    "generations",
    "versions",
    "traffic",
    "channels",
    "keys",
    "call",
    "plans",
    "reviews",
    "subscribers",
    "secrets",
    "files",
    "file",
    "scaffold",
)


class ApiReferenceConvertor(Convertor[str]):
    regex = rf"[^/]+(?:/(?!(?:{'|'.join(SUB_RESOURCES)})(?:/|$))[^/]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def register_convertor() -> None:
    """Make `{…:api}` known to every router that is built afterwards. May be called twice."""
    register_url_convertor("api", ApiReferenceConvertor())


register_convertor()
