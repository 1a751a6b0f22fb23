"""What happens around every call a service answers, in one place and one wrapper.

In order: take or mint the request id, learn who calls, refuse what does not parse, settle
the deadline, run the handler, translate what it raised. A TenureError becomes its documented status; anything
else is a bug: logged here with its traceback, answered as INTERNAL with nothing but the
request id. Cancellation passes untouched. Health and reflection are not wrapped: probes
and tools call them without credentials and without a deadline.

Handlers are wrapped once, when they are added. An interceptor of gRPC's would do it anew at each call, by two
more coroutines and a handler object a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
import structlog

from servicekit import call, decoding
from servicekit.deadlines import Deadlines
from tenure.errors import STATUS_DETAILS_KEY, Internal, OutcomeUnknown, TenureError, Unimplemented

Context = grpc.aio.ServicerContext[Any, Any]
# A handler of either form that grpc.aio allows: a coroutine, or an async generator.
Behaviour = Callable[[Any, Context], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Identify = Callable[[Mapping[str, str]], call.Identity]

_log = structlog.get_logger("call")


class CallWrapper:
    """Wraps every handler of a server; `identify` raises Unauthenticated for nobody.

    `idle` is set while none of the wrapped handlers runs.
    """

    def __init__(self, identify: Identify, deadlines: Deadlines) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._running = 0
        self._identify = identify
        self._deadlines = deadlines

    def wrapped(self, handlers: Iterable[grpc.GenericRpcHandler]) -> list[WrappedHandlers]:
        """What a server is to be given in place of `handlers`."""
        return [WrappedHandlers(each, self._wrap) for each in handlers]

    def _wrap(self, handler: Handler, method: str) -> Handler:
        # Four fields hold one behaviour; which one is set follows from the two flags.
        behaviour = cast(
            "Behaviour",
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream,
        )
        if handler.request_streaming:
            behaviour = decoding.checking(behaviour, method)
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_single
        return _FACTORIES[handler.request_streaming, handler.response_streaming](
            wrap(behaviour, method, long_lived=handler.request_streaming),
            decoding.reading(handler.request_deserializer),
            handler.response_serializer,
        )

    def _wrap_single(self, behaviour: Behaviour, method: str, long_lived: bool) -> Behaviour:
        async def answer(request: Any, context: Context) -> Any:
            self._begin()
            try:
                default = self._admit(request, context, method, long_lived)
                if default is None:
                    # gRPC itself cancels the handler at a deadline of the caller's.
                    return await behaviour(request, context)
                return await _within(default, behaviour(request, context))
            except Exception as error:
                await _tell(error, context, method)
            finally:
                self._end()

        return answer

    def _wrap_stream(self, behaviour: Behaviour, method: str, long_lived: bool) -> Behaviour:
        del long_lived  # an answer that streams always is

        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            self._begin()
            try:
                self._admit(request, context, method, long_lived=True)
                result = behaviour(request, context)
                if not hasattr(result, "__aiter__"):
                    await result  # a coroutine that uses context.write()
                    return
                async with aclosing(result) as messages:
                    async for message in messages:
                        yield message
            except Exception as error:
                await _tell(error, context, method)
            finally:
                self._end()

        return answer

    def _begin(self) -> None:
        self._running += 1
        if self._running == 1:
            self.idle.clear()

    def _end(self) -> None:
        self._running -= 1
        if not self._running:
            self.idle.set()

    def _admit(self, request: object, context: Context, method: str, long_lived: bool) -> float | None:
        """Note what is to be known of a call. Returns the default deadline, in seconds, of one that has none
        and needs one. Raises what it is refused with.
        """
        metadata = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        request_id = call.begin(metadata, method)
        context.set_trailing_metadata(((call.REQUEST_ID_KEY, request_id),))
        call.identify(self._identify(metadata))
        decoding.check(request, method)
        # None at run time without a deadline, though typed float.
        remaining = cast("float | None", context.time_remaining())
        default = None
        if remaining is None and not long_lived:
            remaining = default = self._deadlines.seconds(method, request)
        call.limit(remaining)
        return default


class WrappedHandlers(grpc.GenericRpcHandler):
    """One service's methods, each wrapped when it is called first."""

    def __init__(self, inner: grpc.GenericRpcHandler, wrap: Callable[[Handler, str], Handler]) -> None:
        self._inner = inner
        self._wrap = wrap
        self._found: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        method = handler_call_details.method
        found = self._found.get(method)
        if found is None:
            found = self._inner.service(handler_call_details)
            if found is not None and not method.startswith("/grpc."):
                found = self._found[method] = self._wrap(found, method)
        return found


async def _within(seconds: float, answer: Any) -> Any:
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await answer
    except TimeoutError:
        if not timeout.expired():
            raise  # the handler's own
        raise OutcomeUnknown(
            f"No answer within the default deadline of {seconds:g} s; the call set none. "
            "Repeat it with the same request_id, or with a longer deadline."
        ) from None


async def _tell(error: Exception, context: Context, method: str) -> NoReturn:
    """Answer a call with what its handler raised."""
    request_id = call.current_request_id()
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, TenureError):
        _log.info("refused", reason=error.reason, message=str(error))
    elif isinstance(error, NotImplementedError):
        # The generated base class raises it for every method that a service leaves out.
        error = Unimplemented(method=method)
    elif context.done():
        # The caller went away while it was being answered, which gRPC takes badly. So nobody hears.
        _log.info("nobody was left to answer", why=str(error) or type(error).__name__)
        raise asyncio.CancelledError from None
    else:
        _log.error("failed", exc_info=error)
        error = Internal(request_id=request_id)
    await context.abort(
        error.code,
        str(error),
        (
            (STATUS_DETAILS_KEY, error.to_status().SerializeToString()),
            (call.REQUEST_ID_KEY, request_id),
        ),
    )


_FACTORIES = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
