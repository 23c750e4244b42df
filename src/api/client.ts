// Typed clients of the router's services over grpc-js, for the command line, tests and programs that embed them.
// It adds promises, async iteration, deadlines and abort signals; it does not retry and does not translate errors.
import { create, type DescMethodStreaming, type DescMethodUnary, type DescMessage, type DescService, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Client, type CallOptions as GrpcCallOptions, type Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { AdminService } from "../../gen/gpurouter/v1/admin_pb.js";
import { IdentityService } from "../../gen/gpurouter/v1/identity_pb.js";
import { QuotaService } from "../../gen/gpurouter/v1/quota_pb.js";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { grpcMethodDefinition } from "../wire/grpc-service-definition.js";
import { callMetadata, channelCredentials, NO_CREDENTIALS, type CredentialSources } from "../wire/router-credentials.js";

/** How one call is bounded. */
export interface CallOptions {
  /** The call ends with DEADLINE_EXCEEDED after this many milliseconds; unbounded when left out. */
  readonly deadlineMs?: number;
  /** Aborting it ends the call with CANCELLED. */
  readonly signal?: AbortSignal;
}

type Methods = typeof RouterService.method;
type Input<K extends keyof Methods> = MessageInitShape<Methods[K]["input"]>;
type Output<K extends keyof Methods> = MessageShape<Methods[K]["output"]>;
type Unary<K extends keyof Methods> = (request: Input<K>, options?: CallOptions) => Promise<Output<K>>;
type ServerStream<K extends keyof Methods> = (request: Input<K>, options?: CallOptions) => AsyncIterable<Output<K>>;

/**
 * RouterService as functions. Unary methods reject with grpc-js's ServiceError as it came. Streams start when they are
 * iterated, read no faster than their consumer, throw ServiceError, and are cancelled when iteration stops early.
 */
export interface RouterClient {
  readonly route: Unary<"route">;
  readonly batchRoute: Unary<"batchRoute">;
  readonly status: Unary<"status">;
  readonly list: Unary<"list">;
  readonly cancel: Unary<"cancel">;
  readonly explain: Unary<"explain">;
  readonly gpuStatus: Unary<"gpuStatus">;
  readonly watch: ServerStream<"watch">;
  readonly watchGpus: ServerStream<"watchGpus">;
  readonly admin: UnaryClient<typeof AdminService>;
  readonly quotas: UnaryClient<typeof QuotaService>;
  /** Closes the connection; calls under way end with CANCELLED. */
  close(): void;
}

/** A service whose methods are all unary, as functions, in the same way. */
type UnaryClient<S extends UnaryService> = {
  readonly [K in keyof S["method"]]: (request: MessageInitShape<S["method"][K]["input"]>, options?: CallOptions) => Promise<MessageShape<S["method"][K]["output"]>>;
};
type UnaryService = DescService & { readonly method: Readonly<Record<string, DescMethodUnary>> };
export type IdentityClient = UnaryClient<typeof IdentityService> & { close(): void };

/**
 * Makes a client of the router at `address` ("host:port"). Connects on the first call and reconnects by itself. Throws when the
 * credentials cannot be read, or a key would travel in plain text.
 */
export function connectRouter(address: string, sources: CredentialSources = NO_CREDENTIALS): RouterClient {
  const channel = connect(address, sources);
  const { method } = RouterService;
  return {
    route: unary(channel, method.route),
    batchRoute: unary(channel, method.batchRoute),
    status: unary(channel, method.status),
    list: unary(channel, method.list),
    cancel: unary(channel, method.cancel),
    explain: unary(channel, method.explain),
    gpuStatus: unary(channel, method.gpuStatus),
    watch: serverStream(channel, method.watch),
    watchGpus: serverStream(channel, method.watchGpus),
    admin: unaryClient(channel, AdminService),
    quotas: unaryClient(channel, QuotaService),
    close: () => channel.client.close(),
  };
}

/** Makes a client of the same router's IdentityService. */
export function connectIdentity(address: string, sources: CredentialSources = NO_CREDENTIALS): IdentityClient {
  const channel = connect(address, sources);
  return { ...unaryClient(channel, IdentityService), close: () => channel.client.close() };
}

interface Channel {
  readonly client: Client;
  /** Goes with every call. */
  readonly metadata: Metadata;
}

function connect(address: string, sources: CredentialSources): Channel {
  const metadata = callMetadata(sources, address);
  const client = new Client(address, channelCredentials(sources), {
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5_000,
    "grpc.enable_channelz": 0,
  });
  return { client, metadata };
}

function unaryClient<S extends UnaryService>(channel: Channel, { method }: S): UnaryClient<S> {
  // fromEntries does not know which name has which types.
  return Object.fromEntries(Object.entries(method).map(([name, each]) => [name, unary(channel, each)])) as unknown as UnaryClient<S>;
}

function unary<I extends DescMessage, O extends DescMessage>({ client, metadata }: Channel, method: DescMethodUnary<I, O>) {
  const definition: MethodDefinition<MessageShape<I>, MessageShape<O>> = grpcMethodDefinition(method);
  return (request: MessageInitShape<I>, options: CallOptions = {}): Promise<MessageShape<O>> =>
    new Promise((resolve, reject) => {
      let unlink: () => void = () => {};
      const call = client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        create(method.input, request),
        metadata,
        grpcOptions(options),
        (error, response) => {
          unlink();
          if (error) reject(error);
          else resolve(response as MessageShape<O>);
        },
      );
      unlink = cancelOnAbort(call, options.signal);
    });
}

function serverStream<I extends DescMessage, O extends DescMessage>({ client, metadata }: Channel, method: DescMethodStreaming<I, O>) {
  const definition: MethodDefinition<MessageShape<I>, MessageShape<O>> = grpcMethodDefinition(method);
  return async function* (request: MessageInitShape<I>, options: CallOptions = {}): AsyncGenerator<MessageShape<O>> {
    const call = client.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      create(method.input, request),
      metadata,
      grpcOptions(options),
    );
    const unlink = cancelOnAbort(call, options.signal);
    // Cancelling below makes the call report an error that nobody waits for any more.
    call.on("error", () => {});
    try {
      yield* call as AsyncIterable<MessageShape<O>>;
    } finally {
      unlink();
      call.cancel();
    }
  };
}

function grpcOptions({ deadlineMs }: CallOptions): GrpcCallOptions {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}

/** Cancels `call` when `signal` aborts, at once if it already has; returns how to let go of the signal. */
function cancelOnAbort(call: { cancel(): void }, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => {};
  const cancel = (): void => call.cancel();
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}
