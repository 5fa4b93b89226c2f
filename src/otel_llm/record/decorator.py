"""``@otel_llm.traced``: each call of a function is one inference, told as `client` tells it.

A generator keeps all it can do: what is sent or thrown into it reaches the function. The span is current while the
function runs and never across its ``yield``. Plain and async wrappers are the same text twice: a ``yield`` cannot be
handed to a function that both would share.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, TypeVar, cast

from opentelemetry import context as otel_context

from otel_llm import boundary, semconv
from otel_llm.record import recording, transport
from otel_llm.record.client import ManualCall, call

_F = TypeVar("_F", bound=Callable[..., Any])


def traced(
    operation: str = semconv.OPERATION_CHAT, *, model: str | None = None, provider: str | None = None
) -> Callable[[_F], _F]:
    """Make each call of a function one inference: plain, ``async``, generator or async generator.

    A generator's first item counts as its first token, and its span ends with it, however it ends. Inside,
    `otel_llm.current_call` is the call. For arguments see `otel_llm.call`.
    """
    make = functools.partial(call, operation, model=model, provider=provider)

    def decorate(function: _F) -> _F:
        wrap = next(wrap for fits, wrap in _WRAPPERS if fits(function))
        return cast(_F, functools.wraps(function)(wrap(make, function)))

    return decorate


def _wrap(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return wrapper


def _wrap_async(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        async with make():
            return await function(*args, **kwargs)

    return wrapper


def _wrap_generator(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        items = function(*args, **kwargs)
        manual = make()
        context = otel_context.get_current()
        with boundary.ending(manual):
            manual.begin()
            context = manual.context
        step, given = items.send, None
        try:
            while True:
                token = otel_context.attach(context)
                try:
                    item = step(given)
                except StopIteration as stop:
                    return stop.value
                finally:
                    with boundary.guard("client.detach"):
                        recording.detach(token)
                with boundary.ending(manual):
                    manual.first_token()
                try:
                    step, given = items.send, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: the function's to handle
                    step, given = items.throw, error
        except BaseException as error:
            with boundary.ending(manual):
                transport.fail(manual, error)
            raise
        finally:
            items.close()
            with boundary.ending(manual):
                manual.end()

    return wrapper


def _wrap_async_generator(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        items = function(*args, **kwargs)
        manual = make()
        context = otel_context.get_current()
        with boundary.ending(manual):
            manual.begin()
            context = manual.context
        step, given = items.asend, None
        try:
            while True:
                token = otel_context.attach(context)
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    return
                finally:
                    with boundary.guard("client.detach"):
                        recording.detach(token)
                with boundary.ending(manual):
                    manual.first_token()
                try:
                    step, given = items.asend, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: the function's to handle
                    step, given = items.athrow, error
        except BaseException as error:
            with boundary.ending(manual):
                transport.fail(manual, error)
            raise
        finally:
            await items.aclose()
            with boundary.ending(manual):
                manual.end()

    return wrapper


_WRAPPERS: Final = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (inspect.isgeneratorfunction, _wrap_generator),
    (inspect.iscoroutinefunction, _wrap_async),
    (callable, _wrap),
)
"""By kind of function, the first that fits."""
