// Binds handlers to grpc-js: bytes in, bytes out, errors to statuses, streams at the reader's pace. Used by `grpc-server.ts`.
//
// Messages are decoded and encoded here and not by grpc-js, which would answer a request that cannot be decoded with
// INTERNAL, and would keep from the log a response that cannot be encoded.
import { fromBinary, toBinary, type DescMessage, type DescMethod, type DescService, type MessageShape } from "@bufbuild/protobuf";
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Admission, CallGate, Pass } from "./call-gate.js";
import { callerOf } from "./grpc-guard.js";
import { asBuffer, grpcMethodDefinition } from "../wire/grpc-service-definition.js";
import { grpcStatus } from "./grpc-status.js";
import type { Caller, Guard } from "./guard.js";
import { ApiError, EXPELLED } from "./outcomes.js";
import type { BidiStreamHandler, ServerStreamHandler, ServiceHandlers, UnaryHandler } from "./service-handlers.js";

/** What `Server.addService` takes. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** What all methods of a server share. */
export interface Binding {
  readonly gate: CallGate;
  readonly guard: Guard;
  readonly log: Pick<Logger, "error">;
  admission(method: DescMethod): Admission;
}

type Message = MessageShape<DescMessage>;
type AnyHandler = UnaryHandler<DescMessage, DescMessage> | ServerStreamHandler<DescMessage, DescMessage> | BidiStreamHandler<DescMessage, DescMessage>;
/** Both sides as bytes. */
type ResponseStream = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** The service as grpc-js takes it. */
export function bindGrpcHandlers<S extends DescService>(service: S, handlers: ServiceHandlers<S>, binding: Binding): GrpcService {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = handlers[method.localName as keyof S["method"]] as AnyHandler;
    definition[method.localName] = {
      ...grpcMethodDefinition(method),
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
    };
    implementation[method.localName] = bindMethod(method, handler, binding);
  }
  return { definition, implementation };
}

function bindMethod(method: DescMethod, handler: AnyHandler, binding: Binding): UntypedHandleCall {
  switch (method.methodKind) {
    case "unary":
      return unary(method, handler as UnaryHandler<DescMessage, DescMessage>, binding);
    case "server_streaming": {
      const start = handler as ServerStreamHandler<DescMessage, DescMessage>;
      return (call: ServerWritableStream<Buffer, Buffer>) =>
        respond(method, call, (signal, caller) => start(decode(method.input, call.request), signal, caller), binding);
    }
    case "bidi_streaming": {
      const start = handler as BidiStreamHandler<DescMessage, DescMessage>;
      return (call: ServerDuplexStream<Buffer, Buffer>) =>
        respond(method, call, (signal, caller) => start(decodeAll(method.input, call), signal, caller), binding);
    }
    case "client_streaming":
      throw new Error(`${method} streams requests only, which no service here does`);
  }
}

function unary(method: DescMethod, handler: UnaryHandler<DescMessage, DescMessage>, binding: Binding): UntypedHandleCall {
  const { gate, log } = binding;
  const admission = binding.admission(method);
  return (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
    let pass: Pass | null = null;
    // grpc-js ignores what comes after the first answer, or after a cancel.
    const fail = (error: unknown): void => {
      gate.leave(pass);
      callback(failure(error, method, log));
    };
    const end = (): void => fail(new ApiError({ kind: "draining" }));
    const succeed = (response: Message): void => {
      try {
        const bytes = asBuffer(toBinary(method.output, response));
        gate.leave(pass);
        callback(null, bytes);
      } catch (error) {
        fail(error);
      }
    };
    try {
      pass = gate.enter(admission, end);
      const answer = handler(decode(method.input, call.request), callerOf(call));
      if (answer instanceof Promise) answer.then(succeed, fail);
      else succeed(answer);
    } catch (error) {
      fail(error);
    }
  };
}

/** Runs a stream of responses to its end: the handler's, the caller's (cancel, deadline, lost connection, lost right) or the drain's. */
async function respond(
  method: DescMethod,
  call: ResponseStream,
  start: (signal: AbortSignal, caller: Caller) => AsyncIterable<Message>,
  { gate, guard, log, admission }: Binding,
): Promise<void> {
  const abort = new AbortController();
  let drained = false;
  let expelled = false;
  let letGo = (): void => {};
  let pass: Pass | null = null;
  const end = (): void => {
    drained = true;
    abort.abort();
  };
  call.on("cancelled", () => abort.abort());
  try {
    const caller = callerOf(call);
    pass = gate.enter(admission(method), end);
    letGo = guard.holdStream(caller, () => {
      expelled = true;
      abort.abort();
    });
    for await (const message of start(abort.signal, caller)) {
      if (abort.signal.aborted) break;
      await written(call, asBuffer(toBinary(method.output, message)), abort.signal);
    }
    if (drained) throw new ApiError({ kind: "draining" });
    if (expelled) throw new ApiError(EXPELLED);
    call.end();
  } catch (error) {
    // Once the caller has gone, what the handler says of it interests nobody.
    if (!call.cancelled) call.emit("error", failure(error, method, log));
  } finally {
    letGo();
    gate.leave(pass);
  }
}

/**
 * Resolves when HTTP/2 has taken the message, or the call is over. Waiting for each one, instead of for `drain` after the 16
 * that grpc-js would buffer, is what lets a source conflate for a slow reader: nothing stale waits here.
 */
function written(call: ResponseStream, bytes: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    // grpc-js does not call back for a call that was cancelled.
    signal.addEventListener("abort", done);
    call.write(bytes, done);
  });
}

function decode(type: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(type, bytes);
  } catch (error) {
    throw new ApiError({ kind: "malformed", type: type.typeName, detail: error instanceof Error ? error.message : String(error) });
  }
}

async function* decodeAll(type: DescMessage, call: ServerDuplexStream<Buffer, Buffer>): AsyncGenerator<Message> {
  // Reading to the end must not destroy the half that is still written to.
  for await (const bytes of call.iterator({ destroyOnReturn: false })) yield decode(type, bytes as Buffer);
}

function failure(error: unknown, method: DescMethod, log: Pick<Logger, "error">) {
  if (error instanceof ApiError) return grpcStatus(error);
  log.error({ err: error, method: `${method.parent.typeName}/${method.name}` }, "a call failed for a reason that is not the caller's");
  return grpcStatus(new ApiError({ kind: "internal" }));
}
