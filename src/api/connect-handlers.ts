// Binds the same handlers to Connect and gRPC-Web. Used by `connect-listener.ts`. Errors and the drain are as in `grpc-handlers.ts`.
// The adapter underneath reads and writes at the other side's pace by itself.
import type { DescMessage, DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService, MessageShape } from "@bufbuild/protobuf";
import { ConnectError, createContextKey, type Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { EndCall, Pass } from "./call-gate.js";
import { errorDetails } from "./error-details.js";
import type { Binding } from "./grpc-handlers.js";
import type { Caller } from "./guard.js";
import { ApiError, EXPELLED } from "./outcomes.js";
import type { ServerStreamHandler, ServiceHandlers, UnaryHandler } from "./service-handlers.js";

type Message = MessageShape<DescMessage>;

/** The caller, put into the context of each call by `connect-listener.ts`. */
export const callerKey = createContextKey<Caller | null>(null, { description: "caller" });

/** Adds all methods of a service to a Connect router. Throws when one streams its requests, which HTTP/1.1 cannot. */
export function bindConnectHandlers<S extends DescService>(router: ConnectRouter, service: S, handlers: ServiceHandlers<S>, binding: Binding): void {
  for (const method of service.methods) bindMethod(router, method, handlers[method.localName as keyof S["method"]], binding);
}

function bindMethod(router: ConnectRouter, method: DescMethod, handler: unknown, binding: Binding): void {
  switch (method.methodKind) {
    case "unary":
      router.rpc(method as DescMethodUnary, (request, context) =>
        unary(handler as UnaryHandler<DescMessage, DescMessage>, request, context, binding),
      );
      break;
    case "server_streaming":
      router.rpc(method as DescMethodServerStreaming, (request, context) =>
        stream(handler as ServerStreamHandler<DescMessage, DescMessage>, request, context, binding),
      );
      break;
    default:
      throw new Error(`${method} streams its requests, which HTTP/1.1 cannot`);
  }
}

async function unary(
  run: UnaryHandler<DescMessage, DescMessage>,
  request: Message,
  context: HandlerContext,
  { gate, log, admission }: Binding,
): Promise<Message> {
  let end: EndCall = () => {};
  let pass: Pass | null = null;
  try {
    // The drain, the deadline or the caller's cancel. Connect aborts the signal after every call, so this always settles.
    const ended = new Promise<never>((_, reject) => {
      end = () => reject(new ApiError({ kind: "draining" }));
      context.signal.addEventListener("abort", () => reject(context.signal.reason as Error), { once: true });
    });
    // A call that is refused or throws at once leaves it unheard, which must not count as an unhandled rejection.
    ended.catch(() => {});
    pass = gate.enter(admission(context.method), end);
    return await Promise.race([run(request, callerIn(context)), ended]);
  } catch (error) {
    throw connectError(error, context, log);
  } finally {
    gate.leave(pass);
  }
}

async function* stream(
  start: ServerStreamHandler<DescMessage, DescMessage>,
  request: Message,
  context: HandlerContext,
  { gate, guard, log, admission }: Binding,
): AsyncGenerator<Message> {
  const drained = new AbortController();
  const expelled = new AbortController();
  const end: EndCall = () => drained.abort();
  let letGo = (): void => {};
  let pass: Pass | null = null;
  try {
    const caller = callerIn(context);
    pass = gate.enter(admission(context.method), end);
    letGo = guard.holdStream(caller, () => expelled.abort());
    yield* start(request, AbortSignal.any([context.signal, drained.signal, expelled.signal]), caller);
    context.signal.throwIfAborted();
    if (drained.signal.aborted) throw new ApiError({ kind: "draining" });
    if (expelled.signal.aborted) throw new ApiError(EXPELLED);
  } catch (error) {
    throw connectError(error, context, log);
  } finally {
    letGo();
    gate.leave(pass);
  }
}

/** Throws for a call that did not come past the guard. */
function callerIn(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey);
  if (!caller) throw new Error("Invariant broken: a call got past the guard");
  return caller;
}

function connectError(error: unknown, context: HandlerContext, log: Binding["log"]): ConnectError {
  // The deadline or the caller's cancel.
  if (context.signal.aborted && error === context.signal.reason) return ConnectError.from(error);
  if (!(error instanceof ApiError)) {
    log.error({ err: error, method: `${context.service.typeName}/${context.method.name}` }, "a call failed for a reason that is not the caller's");
    return connectError(new ApiError({ kind: "internal" }), context, log);
  }
  const headers = new Headers();
  if (error.retryAfterMs > 0) {
    headers.set("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
    headers.set("retry-after-ms", String(Math.ceil(error.retryAfterMs)));
  }
  // Both count as gRPC does.
  return new ConnectError(error.message, error.code as number as Code, headers, [...errorDetails(error)]);
}
