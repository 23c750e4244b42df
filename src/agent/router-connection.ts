// The agent's stream to the router: opened, kept, opened again with back-off. Carries messages; knows nothing of attempts.
import { status, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { ConnectRequest, ConnectResponse } from "../../gen/gpurouter/v1/agent_pb.js";

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
  /** Throws when no stream will ever come of it, with what to do. */
  open(): void;
  /** What is wrong with it is an "error" of the stream. */
  openStream(): RouterStream;
  /** Streams from now on have another connection below them. */
  renew(): void;
  close(): void;
}

export class RouterConnection {
  readonly #address: string;
  readonly #transport: RouterTransport;
  readonly #log: Logger;
  readonly #events: RouterConnectionEvents;
  #stream: RouterStream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = FIRST_RETRY_MS;
  #welcomeTimer: NodeJS.Timeout | null = null;
  #welcomeMs = FIRST_WELCOME_MS;
  #closed = false;
  #lastTrouble = "";
  writable = false;

  /** `address` is for people to read. */
  constructor(address: string, transport: RouterTransport, log: Logger, events: RouterConnectionEvents) {
    this.#address = address;
    this.#transport = transport;
    this.#log = log;
    this.#events = events;
  }

  /** Throws when the transport cannot be opened. */
  open(): void {
    this.#transport.open();
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

  /** Gives the present connection up: a new one may get through where this one waits for packets that were lost. */
  abandon(trouble: string): void {
    const stream = this.#stream;
    if (!stream || this.#closed) return;
    this.#transport.renew();
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
    this.#transport.close();
  }

  #connect(): void {
    if (this.#closed) return;
    const stream = this.#transport.openStream();
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
    stream.on("error", (error: ServiceError) => this.#down(stream, troubleText(error.message), REFUSALS.has(error.code)));
    stream.on("end", () => this.#down(stream, "the router ended the stream"));
    this.#welcomeTimer = setTimeout(() => {
      this.#welcomeMs = Math.min(LAST_WELCOME_MS, 2 * this.#welcomeMs);
      this.abandon("no answer to the hello");
    }, this.#welcomeMs);
    this.writable = stream.write(this.#events.hello());
  }

  #down(stream: RouterStream, trouble: string, refused = false): void {
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

/** Without the time that grpc-js puts into some of its messages, by which each would be another trouble. */
function troubleText(message: string): string {
  const words = message.replaceAll(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, "").replace(/\. Resolution note: $/, "");
  return words.includes("Protocol error") ? `${words}: what listens there does not speak gRPC; the router's address is that of its gRPC port, not of HTTP` : words;
}
