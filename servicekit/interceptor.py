"""What happens around every call a service answers, in one place and one wrapper.

In order: take or mint the request id, learn who calls, refuse what does not parse, settle
the deadline, run the handler, translate what it raised. A TenureError becomes its documented status; anything
else is a bug: logged here with its traceback, answered as INTERNAL with nothing but the
request id. Cancellation passes untouched. Health and reflection are not wrapped: probes
and tools call them without credentials and without a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import structlog

from servicekit import call, decoding
from servicekit.deadlines import Deadlines
from tenure.errors import STATUS_DETAILS_KEY, Internal, OutcomeUnknown, TenureError, Unimplemented

# A handler of either form that grpc.aio allows: a coroutine, or an async generator.
Behaviour = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]
Identify = Callable[[Mapping[str, str]], call.Identity]

_log = structlog.get_logger("call")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; `identify` raises Unauthenticated for nobody.

    `idle` is set while none of the wrapped handlers runs.
    """

    def __init__(self, identify: Identify, deadlines: Deadlines) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._running = 0
        self._identify = identify
        self._deadlines = deadlines

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        details = handler_call_details
        handler = await continuation(details)
        if handler is None or details.method.startswith("/grpc."):
            return handler
        # Four fields hold one behaviour; which one is set follows from the two flags.
        behaviour = cast(
            "Behaviour",
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream,
        )
        if handler.request_streaming:
            behaviour = decoding.checking(behaviour, details.method)
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_single
        return _FACTORIES[handler.request_streaming, handler.response_streaming](
            wrap(behaviour, details, long_lived=handler.request_streaming),
            decoding.reading(handler.request_deserializer),
            handler.response_serializer,
        )

    def _wrap_single(
        self, behaviour: Behaviour, details: grpc.HandlerCallDetails, long_lived: bool
    ) -> Behaviour:
        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self._around(details, context, request, long_lived):
                return await behaviour(request, context)

        return answer

    def _wrap_stream(
        self, behaviour: Behaviour, details: grpc.HandlerCallDetails, long_lived: bool
    ) -> Behaviour:
        del long_lived  # an answer that streams always is

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            async with self._around(details, context, request, long_lived=True):
                result = behaviour(request, context)
                if not hasattr(result, "__aiter__"):
                    await result  # a coroutine that uses context.write()
                    return
                async with aclosing(result) as messages:
                    async for message in messages:
                        yield message

        return answer

    @asynccontextmanager
    async def _around(
        self,
        details: grpc.HandlerCallDetails,
        context: grpc.aio.ServicerContext[Any, Any],
        request: object,
        long_lived: bool,
    ) -> AsyncIterator[None]:
        metadata = {k: v for k, v in details.invocation_metadata or () if isinstance(v, str)}
        request_id = call.begin(metadata)
        # The context is the call's own task's: nothing to unbind.
        structlog.contextvars.bind_contextvars(request_id=request_id, method=details.method)
        context.set_trailing_metadata(((call.REQUEST_ID_KEY, request_id),))
        self._running += 1
        self.idle.clear()
        try:
            call.identify(self._identify(metadata))
            decoding.check(request, details.method)
            # None at run time without a deadline, though typed float.
            remaining = cast("float | None", context.time_remaining())
            default = None
            if remaining is None and not long_lived:
                remaining = default = self._deadlines.seconds(details.method, request)
            call.limit(remaining)
            if default is None:
                # gRPC itself cancels the handler at a deadline of the caller's.
                yield
            else:
                async with _default_deadline(default):
                    yield
        except TenureError as error:
            _log.info("refused", reason=error.reason, message=str(error))
            await _abort(context, error, request_id)
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:
            # The generated base class raises it for every method that a service leaves out.
            await _abort(context, Unimplemented(method=details.method), request_id)
        except Exception as error:
            if context.done():
                # The caller went away while it was being answered, which gRPC takes badly. So nobody hears.
                _log.info("nobody was left to answer", why=str(error) or type(error).__name__)
                raise asyncio.CancelledError from None
            _log.exception("failed")
            await _abort(context, Internal(request_id=request_id), request_id)
        finally:
            self._running -= 1
            if not self._running:
                self.idle.set()


@asynccontextmanager
async def _default_deadline(seconds: float) -> AsyncIterator[None]:
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise  # the handler's own
        raise OutcomeUnknown(
            f"No answer within the default deadline of {seconds:g} s; the call set none. "
            "Repeat it with the same request_id, or with a longer deadline."
        ) from None


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: TenureError, request_id: str) -> None:
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
