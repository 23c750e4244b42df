// The agent's stream to the router: opened, kept, opened again with back-off. Carries messages; knows nothing of attempts.
import { Client, credentials, Metadata, type ClientDuplexStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { AgentService, type ConnectRequest, type ConnectResponse } from "../../gen/gpurouter/v1/agent_pb.js";
import { grpcMethodDefinition } from "../wire/grpc-service-definition.js";

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;
/** Larger than any message with a result in it. */
const MAX_MESSAGE_BYTES = 96 << 20;

export interface RouterConnectionEvents {
  hello(): ConnectRequest;
  onMessage(message: ConnectResponse): void;
  /** The stream is gone; it is opened again by itself. */
  onDown(): void;
  /** The stream takes messages again. */
  onDrain(): void;
}

/** What carries one stream. */
export type RouterStream = Pick<ClientDuplexStream<ConnectRequest, ConnectResponse>, "on" | "write" | "end" | "cancel">;

/** Where streams come from: gRPC, or a simulated network. */
export interface RouterTransport {
  /** Never throws: what is wrong is an "error" of the stream. */
  openStream(): RouterStream;
  close(): void;
}

/** Streams over gRPC to `address`, host:port. */
export function grpcTransport(address: string): RouterTransport {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    // The stream's own back-off decides; the channel must not wait longer than it.
    "grpc.initial_reconnect_backoff_ms": FIRST_RETRY_MS,
    "grpc.max_reconnect_backoff_ms": LAST_RETRY_MS,
    "grpc.enable_channelz": 0,
  });
  const method = grpcMethodDefinition(AgentService.method.connect);
  return {
    openStream: () => client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata(), {}),
    close: () => client.close(),
  };
}

export class RouterConnection {
  readonly #address: string;
  readonly #log: Logger;
  readonly #events: RouterConnectionEvents;
  readonly #transport: RouterTransport;
  #stream: RouterStream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;
  #lastTrouble = "";
  writable = false;

  constructor(address: string, log: Logger, events: RouterConnectionEvents, transport = grpcTransport(address)) {
    this.#address = address;
    this.#transport = transport;
    this.#log = log;
    this.#events = events;
  }

  open(): void {
    this.#connect();
  }

  send(message: ConnectRequest): void {
    if (this.#stream) this.writable = this.#stream.write(message);
  }

  /** Gives the present stream up and says why; it is tried again. */
  drop(reason: string): void {
    this.#log.error({ reason }, "dropping the router's stream");
    this.#stream?.cancel();
  }

  /** Lets what was sent reach the router, then closes. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry) clearTimeout(this.#retry);
    const stream = this.#stream;
    if (stream) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        stream.on("status", () => {
          clearTimeout(timer);
          resolve();
        });
        stream.end();
      });
    }
    this.#transport.close();
  }

  #connect(): void {
    if (this.#closed) return;
    const stream = this.#transport.openStream();
    this.#stream = stream;
    let heard = false;
    stream.on("data", (message: ConnectResponse) => {
      if (stream !== this.#stream) return;
      if (!heard) this.#retryMs = FIRST_RETRY_MS;
      heard = true;
      this.#lastTrouble = "";
      this.#events.onMessage(message);
    });
    stream.on("drain", () => {
      this.writable = true;
      this.#events.onDrain();
    });
    stream.on("error", (error) => this.#down(stream, error.message));
    stream.on("end", () => this.#down(stream, "the router ended the stream"));
    this.writable = stream.write(this.#events.hello());
  }

  #down(stream: RouterStream, trouble: string): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    this.writable = false;
    stream.cancel();
    this.#events.onDown();
    if (this.#closed) return;
    // Once per kind of trouble, not once per try.
    if (trouble !== this.#lastTrouble) this.#log.warn({ router: this.#address, trouble }, "no stream to the router; trying again");
    this.#lastTrouble = trouble;
    const waitMs = this.#retryMs * (0.5 + Math.random());
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
    this.#retry = setTimeout(() => this.#connect(), waitMs);
  }
}
