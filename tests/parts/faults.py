"""Make any function of ours fail, from wherever it is called: its code is exchanged for code that raises.

Functions are found by walking modules, and code inside them (closures) by walking what they hold. What runs during a
call is found by watching it run. So nobody keeps a list, and a function that is added tomorrow is tested tomorrow.
"""

import _thread
import importlib
import inspect
import pkgutil
import sys
import threading
import types
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

_OF_EXPRESSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")


class Injected(Exception):  # noqa: N818 - a name that no other exception has
    """Ours, and nobody else's."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One function of ours, or one that stands inside it.

    Attributes:
        name: ``module:qualified name``.
        path: Code objects from the function's own to the one meant.
    """

    name: str
    function: types.FunctionType
    path: tuple[types.CodeType, ...] = field(repr=False)

    @property
    def code(self):
        return self.path[-1]


def modules(*names):
    """The modules with these names, and all that stand below them."""
    for name in names:
        module = importlib.import_module(name)
        yield module
        for info in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
            yield importlib.import_module(info.name)


def places(*names):
    """Every function in these modules, by the identity of its code."""
    found = {}
    for module in modules(*names):
        for function in _functions(module, module.__name__):
            for path in _inside((function.__code__,)):
                name = f"{module.__name__.removeprefix('otel_llm.')}:{path[-1].co_qualname}"
                found.setdefault(id(path[-1]), Place(name, function, path))
    return found


def _functions(holder, module):
    for value in list(vars(holder).values()):
        one = inspect.unwrap(value) if callable(value) else value
        if isinstance(one, property):
            yield from (part for part in (one.fget, one.fset) if part is not None)
        elif isinstance(one, (staticmethod, classmethod)):
            yield one.__func__
        elif isinstance(one, types.FunctionType) and one.__module__ == module and not _is_generated(one):
            yield one
        elif isinstance(one, type) and one.__module__ == module and one is not holder:
            yield from _functions(one, module)


def _is_generated(function):
    return function.__code__.co_filename.startswith("<")


def _inside(path):
    yield path
    for inner in path[-1].co_consts:
        # The body of a class is no function: it is not optimized.
        is_function = isinstance(inner, types.CodeType) and inner.co_flags & inspect.CO_OPTIMIZED
        if is_function and inner.co_name not in _OF_EXPRESSIONS:
            yield from _inside((*path, inner))


@contextmanager
def watched(known):
    """The places of ``known`` that run meanwhile, on any thread that starts meanwhile."""
    ran = set()

    def watch(frame, event, _argument):
        if event == "call":
            place = known.get(id(frame.f_code))
            if place is not None:
                ran.add(place)

    start = _thread.start_new_thread

    def start_watched(function, *arguments):
        def run(*given):
            sys.setprofile(watch)
            function(*given)

        return start(run, *arguments)

    threading.setprofile(watch)
    sys.setprofile(watch)
    _thread.start_new_thread = start_watched  # which knows no profile of its own
    try:
        yield ran
    finally:
        _thread.start_new_thread = start
        sys.setprofile(None)
        threading.setprofile(None)


@contextmanager
def failing(place, error=Injected):
    """``place`` raises whenever it is called; yields what it counts its calls in."""
    calls = []

    def fail():
        calls.append(place.name)
        raise error

    broken = _raising(place.code, fail)
    for outer, inner in zip(place.path[-2::-1], place.path[::-1], strict=False):
        broken = outer.replace(co_consts=tuple(broken if one is inner else one for one in outer.co_consts))
    sound = place.function.__code__
    place.function.__code__ = broken
    try:
        yield calls
    finally:
        place.function.__code__ = sound


_STUBS = """
def plain(*a, **k): "fail"()
def generator(*a, **k):
    "fail"()
    yield
async def coroutine(*a, **k): "fail"()
async def async_generator(*a, **k):
    "fail"()
    yield
"""
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # a string is called: what is called instead is put in below
    _MADE = {
        code.co_name: code for code in compile(_STUBS, __file__, "exec").co_consts if isinstance(code, types.CodeType)
    }


def _raising(code, fail):
    """Code of the same kind as ``code`` that calls ``fail``."""
    flags = code.co_flags
    if flags & inspect.CO_ASYNC_GENERATOR:
        kind = "async_generator"
    elif flags & inspect.CO_COROUTINE:
        kind = "coroutine"
    else:
        kind = "generator" if flags & inspect.CO_GENERATOR else "plain"
    stub = _MADE[kind]
    return stub.replace(
        co_consts=tuple(fail if one == "fail" else one for one in stub.co_consts),
        co_freevars=code.co_freevars,
        co_qualname=code.co_qualname,
    )
