"""Finds what an entry `module:attribute` means, and which kind of program it is."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import types
from typing import Any, Callable, List, NamedTuple, Optional

from .failure import EntryError

_USUAL_NAMES = ("app", "application", "api", "handler", "asgi", "wsgi", "create_app", "make_app")
_FACTORY_VERBS = ("create_", "make_", "build_")


class Served(NamedTuple):
    kind: str
    """asgi, wsgi or function."""
    target: Any
    style: str = ""
    """For asgi: `asgi2` when the application takes only the scope."""


class Arguments(NamedTuple):
    required: int
    allowed: float
    names: List[str]


def load(entry: str, directory: str) -> Served:
    """Import the entry and say how it is to be served. Raises EntryError, or whatever the user's code raises."""
    module_name, _, attribute = entry.partition(":")
    module = _import(module_name, directory)
    if attribute:
        name, target = attribute, _walk(module, attribute)
    else:
        name, target = _usual(module)
    if _is_factory(name, target):
        name, target = name + "()", target()
        if inspect.iscoroutine(target):
            target.close()
            raise EntryError(f"{module_name}:{name} is a coroutine; a factory must be a plain function")
    return classify(target, f"{module_name}:{name}")


def _import(name: str, directory: str) -> types.ModuleType:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise EntryError(f"{name!r} is no module name. Write the entry as module:attribute, as main:app")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise EntryError(f"there is no module {name}. {_files_sentence(directory)}") from None


def _files_sentence(directory: str) -> str:
    source = os.path.join(directory, "src")
    places = {"": directory, "src/": source} if os.path.isdir(source) else {"": directory}
    files = [prefix + file for prefix, place in places.items() for file in sorted(os.listdir(place))]
    found = [file for file in files if file.endswith(".py")]
    return f"The directory has {', '.join(found[:10])}" if found else "The directory has no .py file"


def _walk(module: types.ModuleType, attribute: str) -> Any:
    target: Any = module
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise EntryError(f"{module.__name__} has no {attribute}. {_candidates_sentence(module)}") from None
    if target is None:
        raise EntryError(f"{module.__name__}:{attribute} is None. {_candidates_sentence(module)}")
    return target


def _usual(module: types.ModuleType) -> "tuple[str, Any]":
    for name in _USUAL_NAMES:
        target = getattr(module, name, None)
        if callable(target):
            return name, target
    raise EntryError(f"{module.__name__} has none of {', '.join(_USUAL_NAMES)}. {_candidates_sentence(module)}")


def _candidates_sentence(module: types.ModuleType) -> str:
    found = [f"{module.__name__}:{name}" for name in _candidates(module)]
    return f"It has {', '.join(found[:8])}" if found else "It has nothing that could be served"


def _candidates(module: types.ModuleType) -> List[str]:
    """Public names defined or built here (not imported classes and helpers) that could be served."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, (type, types.ModuleType)) or not callable(value):
            continue
        if inspect.isroutine(value) and getattr(value, "__module__", None) != module.__name__:
            continue
        try:
            classify(value, name)
        except EntryError:
            continue
        found.append(name)
    return found


def _is_factory(name: str, target: Any) -> bool:
    last = name.rpartition(".")[2]
    if not (last.startswith(_FACTORY_VERBS) or last.endswith("_factory")):
        return False
    if not inspect.isroutine(target) or inspect.iscoroutinefunction(target):
        return False
    arguments = _arguments(target)
    return arguments is not None and arguments.required == 0


def classify(target: Any, name: str) -> Served:
    """By the number of arguments, as every server does: three are ASGI, two WSGI, one or none a function."""
    if not callable(target):
        raise EntryError(f"{name} is {_article(type(target).__name__)}, which cannot be called")
    if _is_single_asgi2(target):
        return Served("asgi", target, "asgi2")
    arguments = _arguments(target)
    if arguments is None:
        raise EntryError(f"{name} does not say which arguments it takes; wrap it in a function with one parameter")
    if _takes(arguments, 3) and (arguments.required == 3 or _is_async(target)):
        return Served("asgi", target)
    if _takes(arguments, 2) and arguments.required == 2 and not _is_async(target):
        if arguments.names[:2] != ["event", "context"]:
            return Served("wsgi", target)
    elif arguments.required <= 1 and (arguments.required == 1 or _is_function(target)):
        return Served("function", target)
    raise EntryError(
        f"{name} takes ({', '.join(arguments.names)}); it must take (scope, receive, send) for ASGI, "
        f"(environ, start_response) for WSGI, or one request or nothing for a function"
    )


def _takes(arguments: Arguments, count: int) -> bool:
    return arguments.required <= count <= arguments.allowed


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _is_single_asgi2(target: Any) -> bool:
    """A class whose instances take (receive, send): the older ASGI."""
    if not inspect.isclass(target):
        return False
    own_call: Optional[Callable[..., Any]] = vars(target).get("__call__")
    return own_call is not None and inspect.iscoroutinefunction(own_call)


def _is_function(target: Any) -> bool:
    return inspect.isroutine(target) or isinstance(target, functools.partial)


def _is_async(target: Any) -> bool:
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isroutine(target):
        return inspect.iscoroutinefunction(target)
    return inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004 - its kind is asked, not whether


def _arguments(target: Any) -> Optional[Arguments]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    required, allowed, names = 0, 0.0, []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            allowed = float("inf")
            names.append("*" + parameter.name)
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            allowed += 1
            required += parameter.default is parameter.empty
            names.append(parameter.name)
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            required += 100  # a server passes no keyword arguments
            names.append(parameter.name)
    return Arguments(required, allowed, names)
