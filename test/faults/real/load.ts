// Load from a client that trusts nobody: it names its requests itself, sends each again under the same id until it has an answer, waits
// for its end by Watch or by Status, sometimes asks again later, and writes all that it is told into the ledger.
import { setTimeout as pause } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { RequestState, type RequestInfo, type RouteRequestSchema } from "../../../gen/gpurouter/v1/router_pb.js";
import { connectRouter, type RouterClient } from "../../../src/api/client.js";
import { afterThisTest } from "../../e2e/harness.js";
import { Ledger } from "./ledger.js";
import { ONCE } from "./once-work.js";

type RouteRequest = MessageInitShape<typeof RouteRequestSchema>;

export interface LoadOptions {
  readonly router: string;
  readonly random: () => number;
  /** Requests that are under way at once. */
  readonly concurrency: number;
  /** Share of requests that are commands which must not run twice. */
  readonly onceShare?: number;
  /** Of each inference request; 0 when left out. */
  readonly payloadBytes?: number;
  /** Share of requests that are cancelled after they were acknowledged. */
  readonly cancelShare?: number;
}

const CALL_DEADLINE_MS = 2_000;
const RETRY_MS = 30;
/** For the questions after the load. */
const AUDIT_MS = 300_000;
const AUDITED_AT_ONCE = 64;
/** What a router says that is gone, stopping, slow or out of room: ask again. */
const GONE: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.RESOURCE_EXHAUSTED]);
/** Of inference, ms. */
const MEAN_WORK_MS = 150;
const ENDS: ReadonlyMap<RequestState, string> = new Map([
  [RequestState.COMPLETED, "completed"],
  [RequestState.FAILED, "failed"],
  [RequestState.CANCELLED, "cancelled"],
]);

export class Load {
  readonly ledger = new Ledger();
  readonly #options: LoadOptions;
  #client: RouterClient;
  readonly #workers: Promise<void>[];
  #next = 0;
  #stopping = false;
  #giveUpAt = Number.POSITIVE_INFINITY;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#client = connectRouter(options.router);
    afterThisTest(() => {
      this.#giveUpAt = 0;
      this.#client.close();
    });
    this.#workers = Array.from({ length: options.concurrency }, () => this.#work());
    // Looked at by finish().
    for (const worker of this.#workers) worker.catch(() => {});
  }

  /** Connects anew at once, as a caller does who learns that the router is back. */
  reconnect(): void {
    this.#client.close();
    this.#client = connectRouter(this.#options.router);
  }

  /** Requests that were seen to end. */
  get ended(): number {
    return this.ledger.ended;
  }

  /** Sends nothing new, waits at most `withinMs` until all that was sent has ended, then asks for each once more, alone and in the list. */
  async finish(withinMs: number): Promise<void> {
    this.#stopping = true;
    this.#giveUpAt = performance.now() + withinMs;
    await Promise.all(this.#workers);
    this.#giveUpAt = performance.now() + AUDIT_MS;
    const { known } = this.ledger;
    for (let from = 0; from < known.length; from += AUDITED_AT_ONCE) {
      await Promise.all(known.slice(from, from + AUDITED_AT_ONCE).map((requestId) => this.#patiently(() => this.#look(requestId))));
    }
    let pageToken = "";
    do {
      const page = await this.#patiently(() => this.#client.list({ pageSize: 1000, pageToken }, { deadlineMs: CALL_DEADLINE_MS }));
      for (const info of page?.requests ?? []) this.#note(info);
      pageToken = page?.nextPageToken ?? "";
    } while (pageToken !== "");
    if (performance.now() >= this.#giveUpAt) throw new Error(`The router did not answer for all ${known.length} requests within ${AUDIT_MS} ms.`);
  }

  async #work(): Promise<void> {
    const { random, cancelShare = 0 } = this.#options;
    while (!this.#stopping) {
      this.#next += 1;
      const request = this.#request(`r-${this.#next}`);
      const { requestId } = request;
      this.ledger.sent(requestId);
      await this.#patiently(() => this.#client.route(request, { deadlineMs: CALL_DEADLINE_MS }));
      if (performance.now() >= this.#giveUpAt) return;
      this.ledger.acknowledged(requestId);
      // An answer may get lost on its way: a caller that sends again must not get a second request.
      if (random() < 0.05) await this.#patiently(() => this.#client.route(request, { deadlineMs: CALL_DEADLINE_MS }));
      if (random() < cancelShare) {
        this.ledger.cancelAsked(requestId);
        await this.#patiently(() => this.#client.cancel({ requestId, reason: "of the load" }, { deadlineMs: CALL_DEADLINE_MS }));
      }
      const byWatch = random() < 0.5;
      while (!this.ledger.hasEnded(requestId) && performance.now() < this.#giveUpAt) {
        await (byWatch ? this.#watch(requestId) : this.#look(requestId)).catch(onlyWhenGone);
        if (!this.ledger.hasEnded(requestId)) await pause(RETRY_MS);
      }
    }
  }

  #request(requestId: string): RouteRequest & { readonly requestId: string } {
    const { random, onceShare = 0, payloadBytes = 0 } = this.#options;
    const work = 1 - Math.log(1 - random());
    // Nothing times out here: what does not end is a fault.
    const common = { requestId, timeoutMs: 3_600_000n };
    if (random() < onceShare) {
      const payload = { case: "payloadBytes", value: Buffer.from(`${Math.ceil(work * 10)}`) } as const;
      return { ...common, modelId: ONCE, idempotent: false, payload, resourceRequirements: { expectedDurationMs: 1_000n } };
    }
    return { ...common, modelId: "m", payload: { case: "payloadBytes", value: new Uint8Array(payloadBytes) }, resourceRequirements: { expectedDurationMs: BigInt(Math.ceil(work * MEAN_WORK_MS)) } };
  }

  async #watch(requestId: string): Promise<void> {
    await this.#noting(requestId, async () => {
      for await (const { event } of this.#client.watch({ requestId }, { deadlineMs: 20_000 })) {
        if (event.case === "request") this.#note(event.value);
      }
    });
  }

  async #look(requestId: string): Promise<void> {
    await this.#noting(requestId, async () => {
      const { request } = await this.#client.status({ requestId }, { deadlineMs: CALL_DEADLINE_MS });
      if (request) this.#note(request);
    });
  }

  /** A request that the router does not know is a fact for the ledger, not an error. */
  async #noting(requestId: string, ask: () => Promise<void>): Promise<void> {
    try {
      await ask();
    } catch (error) {
      if (codeOf(error) !== status.NOT_FOUND) throw error;
      this.ledger.unknown(requestId);
    }
  }

  #note(info: RequestInfo): void {
    const state = ENDS.get(info.state);
    if (state === undefined) return;
    const { attempts, assignedGpu, error, resultSize, completionTime, statistics } = info;
    const details = [`attempt ${attempts}`, assignedGpu, error?.code ?? "", `${resultSize} bytes`, `at ${completionTime?.seconds}.${completionTime?.nanos}`, `ran ${statistics?.runMs ?? 0}`];
    this.ledger.hasEndedAs(info.requestId, { state, details: details.join(" ") });
  }

  /** Again and again until there is an answer or no time. */
  async #patiently<T>(call: () => Promise<T>): Promise<T | undefined> {
    while (performance.now() < this.#giveUpAt) {
      try {
        return await call();
      } catch (error) {
        onlyWhenGone(error);
        await pause(RETRY_MS);
      }
    }
    return undefined;
  }
}

function codeOf(error: unknown): number {
  return (error as { code?: number }).code ?? -1;
}

/** Anything but a router that is to be asked again is thrown on. */
function onlyWhenGone(error: unknown): void {
  if (!GONE.has(codeOf(error))) throw error;
}
