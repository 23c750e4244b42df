// What a handler is, for both transports: plain functions from message to message. A handler throws ApiError for what
// the caller should hear; anything else that it throws is logged and told as INTERNAL. Bound by `grpc-handlers.ts` and
// `connect-handlers.ts`, which have seen to it that the caller may call; what is another's is the handlers' to refuse.
import type { DescMessage, DescService, MessageShape } from "@bufbuild/protobuf";
import type { Caller } from "./guard.js";

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  caller: Caller,
) => MessageShape<O> | Promise<MessageShape<O>>;

/** Bad requests are thrown before the first message. The iterable is pulled at the reader's pace and ends when `signal` aborts. */
export type ServerStreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  signal: AbortSignal,
  caller: Caller,
) => AsyncIterable<MessageShape<O>>;

/** One answer after the other, at the reader's pace; ends when the requests end or `signal` aborts. */
export type BidiStreamHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  signal: AbortSignal,
  caller: Caller,
) => AsyncIterable<MessageShape<O>>;

type Handler<M> = M extends { methodKind: infer K; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? K extends "unary"
    ? UnaryHandler<I, O>
    : K extends "server_streaming"
      ? ServerStreamHandler<I, O>
      : K extends "bidi_streaming"
        ? BidiStreamHandler<I, O>
        : never
  : never;

/** A handler for every method of a service, by its lower-camel name. */
export type ServiceHandlers<S extends DescService> = { readonly [K in keyof S["method"]]: Handler<S["method"][K]> };
