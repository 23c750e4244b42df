// The agent's stream to the router: opened, kept, opened again with back-off. Carries messages; knows nothing of attempts.
import { Client, Metadata, status, type ChannelCredentials, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { AgentService, type ConnectRequest, type ConnectResponse } from "../../gen/gpurouter/v1/agent_pb.js";
import { grpcMethodDefinition } from "../wire/grpc-service-definition.js";
import { callMetadata, channelCredentials, type CredentialSources } from "../wire/router-credentials.js";

/** After a stream that worked: the router may be there already. */
const AT_ONCE_MS = 10;
const FIRST_RETRY_MS = 50;
/** A router that is not there is looked for this often, so that it is found soon after it is back. */
const LAST_RETRY_MS = 250;
/** One that says no is not bothered as often. */
const REFUSED_RETRY_MS = 1_000;
const REFUSALS: ReadonlySet<number> = new Set([status.FAILED_PRECONDITION, status.ALREADY_EXISTS, status.INVALID_ARGUMENT, status.UNAUTHENTICATED, status.PERMISSION_DENIED]);
/** A connection on which no welcome comes for this long is given up, and twice as long for each that follows: packets may be lost without a word. */
const FIRST_WELCOME_MS = 1_000;
const LAST_WELCOME_MS = 8_000;
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

export class RouterConnection {
  readonly #address: string;
  readonly #sources: CredentialSources;
  readonly #log: Logger;
  readonly #events: RouterConnectionEvents;
  #client: Client | null = null;
  #stream: ClientDuplexStream<ConnectRequest, ConnectResponse> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = FIRST_RETRY_MS;
  #welcomeTimer: NodeJS.Timeout | null = null;
  #welcomeMs = FIRST_WELCOME_MS;
  #closed = false;
  #lastTrouble = "";
  writable = false;

  constructor(address: string, sources: CredentialSources, log: Logger, events: RouterConnectionEvents) {
    this.#address = address;
    this.#sources = sources;
    this.#log = log;
    this.#events = events;
  }

  /** Throws when a file with credentials cannot be read, or the key would travel in plain text. */
  open(): void {
    callMetadata(this.#sources, this.#address);
    this.#client = this.#newClient(channelCredentials(this.#sources));
    this.#connect();
  }

  #newClient(credentials: ChannelCredentials): Client {
    return new Client(this.#address, credentials, {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      // The stream's own back-off decides; the channel must not wait longer than it.
      "grpc.initial_reconnect_backoff_ms": FIRST_RETRY_MS,
      "grpc.max_reconnect_backoff_ms": LAST_RETRY_MS,
      "grpc.enable_channelz": 0,
      // A new client is a new connection: the old one may hang on lost packets for long.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  send(message: ConnectRequest): void {
    if (this.#stream) this.writable = this.#stream.write(message);
  }

  /** Gives the present stream up and says why; it is tried again. */
  drop(reason: string): void {
    this.#log.error({ reason }, "dropping the router's stream");
    this.#stream?.cancel();
  }

  /** Gives the present connection up: a new one may get through where this one waits for packets that were lost. */
  abandon(trouble: string): void {
    const stream = this.#stream;
    if (!stream || this.#closed) return;
    try {
      const client = this.#newClient(channelCredentials(this.#sources));
      this.#client?.close();
      this.#client = client;
    } catch (error) {
      // Somebody exchanges the files just now: the old connection must do until the next time.
      this.#log.warn({ trouble: error instanceof Error ? error.message : String(error) }, "no credentials for a new connection");
    }
    this.#down(stream, trouble);
  }

  /** Lets what was sent reach the router, then closes. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry) clearTimeout(this.#retry);
    if (this.#welcomeTimer) clearTimeout(this.#welcomeTimer);
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
    this.#client?.close();
  }

  #connect(): void {
    const client = this.#client;
    if (!client || this.#closed) return;
    const method = grpcMethodDefinition(AgentService.method.connect);
    const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, this.#metadata(), {});
    this.#stream = stream;
    let heard = false;
    stream.on("data", (message: ConnectResponse) => {
      if (stream !== this.#stream) return;
      if (!heard) {
        if (this.#welcomeTimer) clearTimeout(this.#welcomeTimer);
        this.#welcomeMs = FIRST_WELCOME_MS;
        this.#retryMs = AT_ONCE_MS;
      }
      heard = true;
      this.#lastTrouble = "";
      this.#events.onMessage(message);
    });
    stream.on("drain", () => {
      this.writable = true;
      this.#events.onDrain();
    });
    stream.on("error", (error: ServiceError) => this.#down(stream, error.message, REFUSALS.has(error.code)));
    stream.on("end", () => this.#down(stream, "the router ended the stream"));
    this.#welcomeTimer = setTimeout(() => {
      this.#welcomeMs = Math.min(LAST_WELCOME_MS, 2 * this.#welcomeMs);
      this.abandon("no answer to the hello");
    }, this.#welcomeMs);
    this.writable = stream.write(this.#events.hello());
  }

  /** Read for each try: a key may be exchanged while the agent runs. While its file cannot be read, the router says that it wants one. */
  #metadata(): Metadata {
    try {
      return callMetadata(this.#sources, this.#address);
    } catch (error) {
      this.#log.warn({ trouble: error instanceof Error ? error.message : String(error) }, "no key for the router");
      return new Metadata();
    }
  }

  #down(stream: ClientDuplexStream<ConnectRequest, ConnectResponse>, trouble: string, refused = false): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    this.writable = false;
    if (this.#welcomeTimer) clearTimeout(this.#welcomeTimer);
    stream.cancel();
    this.#events.onDown();
    if (this.#closed) return;
    // Once per kind of trouble, not once per try.
    if (trouble !== this.#lastTrouble) this.#log.warn({ router: this.#address, trouble }, "no stream to the router; trying again");
    this.#lastTrouble = trouble;
    const waitMs = (refused ? REFUSED_RETRY_MS : this.#retryMs) * (0.5 + Math.random());
    this.#retryMs = Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, this.#retryMs * 2));
    this.#retry = setTimeout(() => this.#connect(), waitMs);
  }
}
