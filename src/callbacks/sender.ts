// One try of one callback over HTTP: signed, bounded in time and size, without redirects and without proxies, to addresses that the guard
// has let through. Called by deliverer.ts; never throws.
import { isIP } from "node:net";
import { Agent, buildConnector, request, type Dispatcher } from "undici";
import { fixedLookup, RefusedAddress, type AddressGuard } from "./address-guard.js";
import { waitAskedForMs } from "./retry-policy.js";
import type { SigningSecrets } from "./signing-secrets.js";

/** UTC ms. */
export interface Clock {
  now(): number;
}

export type SendOutcome =
  | { readonly kind: "delivered" }
  /** Trying again would not help: the receiver said 410, or the address is not allowed. */
  | { readonly kind: "final"; readonly error: string }
  /** `retryAfterMs` is what the receiver asked for; 0 for nothing. */
  | { readonly kind: "failed"; readonly error: string; readonly retryAfterMs: number };

export interface SenderOptions {
  readonly guard: AddressGuard;
  readonly secrets: SigningSecrets;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly connectTimeoutMs: number;
  /** For the whole try. */
  readonly timeoutMs: number;
  readonly maxConcurrentPerHost: number;
}

/** Of an answer's body this much is read, so that its connection can be used again, and thrown away. */
const MAX_ANSWER_BYTES = 4 * 1024;
const MAX_ANSWER_HEADER_BYTES = 8 * 1024;
/** Larger bodies are not sent. */
export const MAX_BODY_BYTES = 64 * 1024;
const GONE = 410;
/** They say when to come back. */
const LATER = new Set([429, 503]);
const IDLE_CONNECTION_MS = 4_000;

export class Sender {
  readonly #options: SenderOptions;
  readonly #agent: Agent;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#agent = new Agent({
      connect: guardedConnector(options.guard, options.connectTimeoutMs),
      connections: options.maxConcurrentPerHost,
      pipelining: 1,
      allowH2: false,
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
      maxHeaderSize: MAX_ANSWER_HEADER_BYTES,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      keepAliveMaxTimeout: IDLE_CONNECTION_MS,
    });
  }

  async send(url: string, eventId: string, body: string, stop: AbortSignal): Promise<SendOutcome> {
    const { clock, secrets, timeoutMs, userAgent } = this.#options;
    if (!URL.canParse(url)) return { kind: "final", error: "the address is not a URL" };
    if (Buffer.byteLength(body) > MAX_BODY_BYTES) return { kind: "final", error: `the body is larger than ${MAX_BODY_BYTES} bytes` };
    const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
    const headers = { "content-type": "application/json", "user-agent": userAgent, ...secrets.headers(eventId, body, clock.now()) };
    try {
      const answer = await request(url, { dispatcher: this.#agent, method: "POST", headers, body, signal });
      // Whatever happens to its body, the answer counts.
      await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal }).catch(() => {});
      return this.#outcomeOf(answer);
    } catch (error) {
      const refused = refusalIn(error);
      return refused ? { kind: "final", error: refused.message } : { kind: "failed", error: wordsOf(error, timeoutMs), retryAfterMs: 0 };
    }
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #outcomeOf({ statusCode, headers }: Dispatcher.ResponseData): SendOutcome {
    if (statusCode >= 200 && statusCode < 300) return { kind: "delivered" };
    if (statusCode === GONE) return { kind: "final", error: "the receiver answered 410: it wants no more" };
    const after = headers["retry-after"];
    const wait = LATER.has(statusCode) && typeof after === "string" ? waitAskedForMs(after, this.#options.clock.now()) : 0;
    const redirect = statusCode >= 300 && statusCode < 400 ? ", a redirect, which is not followed" : "";
    return { kind: "failed", error: `the receiver answered ${statusCode}${redirect}`, retryAfterMs: wait };
  }
}

/** Asks the guard for each connection, and connects to what it has let through and to nothing else. */
function guardedConnector(guard: AddressGuard, timeoutMs: number): buildConnector.connector {
  return (options, callback) => {
    const { hostname, port, protocol } = options;
    const literal = isIP(hostname) === 6 ? `[${hostname}]` : hostname;
    const url = new URL(`${protocol}//${literal}${port === "" ? "" : `:${port}`}`);
    const connectTo = (addresses: readonly string[]): void => {
      const connect = buildConnector({ timeout: timeoutMs, lookup: fixedLookup(addresses), maxCachedSessions: 0 });
      connect(options, (...result) => {
        const socket = result[1];
        // Nothing should come between the look-up and the connection; if it does, it goes no further.
        if (socket && !addresses.includes(socket.remoteAddress ?? "") && guard.refusal(hostname, socket.remoteAddress ?? "", protocol === "https:") !== "") {
          socket.destroy();
          callback(new RefusedAddress(`${hostname} was connected elsewhere than it resolved to`), null);
        } else callback(...result);
      });
    };
    guard.addressesFor(url).then(connectTo).catch((error: unknown) => callback(error as Error, null));
  };
}

function refusalIn(error: unknown): RefusedAddress | null {
  for (let each = error, depth = 0; each instanceof Error && depth < 4; each = each.cause, depth += 1) if (each instanceof RefusedAddress) return each;
  return null;
}

/** What went wrong, without addresses or paths. */
function wordsOf(error: unknown, timeoutMs: number): string {
  const { name, code } = error as NodeJS.ErrnoException;
  if (name === "TimeoutError" || name === "AbortError") return `not answered within ${timeoutMs} ms`;
  return typeof code === "string" ? code.toLowerCase().replaceAll("_", " ") : "the connection failed";
}
