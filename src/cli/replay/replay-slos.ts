// What a replay wishes of each request, and whether it got it: the simulator's own book of wishes, kept for each user apart.
// `follow-request.ts` asks it; the options of the command make it.
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { SloBook } from "../../sim/slo-book.js";
import type { Arrival } from "../../sim/workload/arrival.js";
import type { RequestOutcome } from "./outcome.js";
import type { ScheduledRequest } from "./schedule.js";

/** Wishes, counted from when a request is due; 0 for none. One at least. */
export interface ReplaySlo {
  readonly firstOutputMs: number;
  /** The answer is wanted within the larger of this and `totalFactor` times what the request takes alone on an idle GPU of `gpuKind`. */
  readonly totalFloorMs: number;
  readonly totalFactor: number;
  readonly gpuKind: GpuKind;
}

export class ReplaySlos {
  readonly #slo: ReplaySlo;
  readonly #model: string;
  readonly #knowsLengths: boolean;
  /** By user: each learns how long its own answers are. */
  readonly #books = new Map<string, SloBook>();

  /** Callers that know how long an answer will be wish for that one, others for one of their usual length. */
  constructor(slo: ReplaySlo, model: string, knowsLengths: boolean) {
    this.#slo = slo;
    this.#model = model;
    this.#knowsLengths = knowsLengths;
  }

  /** What to tell the router, whole ms; 0 for no wish. */
  wish(request: ScheduledRequest): { readonly firstOutputMs: number; readonly totalMs: number } {
    const { firstOutputMs = 0, totalMs = 0 } = this.#bookOf(request).wish(arrivalOf(request), this.#knowsLengths ? request.outputTokens : undefined) ?? {};
    return { firstOutputMs: told(totalMs === 0 ? firstOutputMs : Math.min(firstOutputMs, totalMs)), totalMs: told(totalMs) };
  }

  /** Whether a completed request was in time, for an answer of its length. What gave no word of its first output was not. */
  kept(request: ScheduledRequest, { firstOutputMs, endedMs }: RequestOutcome): boolean {
    const firstMs = firstOutputMs ?? (this.#slo.firstOutputMs > 0 ? Number.POSITIVE_INFINITY : request.dueMs);
    return this.#bookOf(request).kept(arrivalOf(request), firstMs, endedMs ?? Number.POSITIVE_INFINITY);
  }

  /** Its caller has seen the end of it. */
  learn(request: ScheduledRequest): void {
    this.#bookOf(request).learn(arrivalOf(request));
  }

  #bookOf({ tenant: name, priority }: ScheduledRequest): SloBook {
    const known = this.#books.get(name);
    if (known) return known;
    const { firstOutputMs, totalFloorMs, totalFactor, gpuKind } = this.#slo;
    const slo = { firstOutputMs, totalFloorMs, totalFactor };
    const book = new SloBook([{ name, modelId: this.#model, type: "inference", priority, slo }], [gpuKind]);
    this.#books.set(name, book);
    return book;
  }
}

function arrivalOf({ dueMs, inputTokens, outputTokens, prefixHashes }: ScheduledRequest): Arrival {
  return { atMs: dueMs, tenant: 0, inputTokens, outputTokens, prefixHashes, sessionKey: "", gpus: 1, workMs: 0 };
}

function told(ms: number): number {
  return Math.ceil(ms);
}
