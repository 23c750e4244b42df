// When GPUs will have finished what they hold, by what is expected of it. Made anew for each look into the future; nothing here is
// certain.
import type { NodeEntry } from "../fleet/node-entry.js";
import { gpusOf, type Request } from "../model/request.js";
import type { State } from "../state.js";

/** What has run longer than expected goes on for this share of the time it has had, and for at least so long, ms. */
const OVERRUN_SHARE = 0.25;
const OVERRUN_MS = 1_000;

export class Forecast {
  readonly #state: State;
  readonly #nowMs: number;
  readonly #looked = new Set<NodeEntry>();
  /** By GPU, of work that is not measured in tokens. */
  readonly #endsAtMs = new Map<number, number>();

  constructor(state: State, nowMs: number) {
    this.#state = state;
    this.#nowMs = nowMs;
  }

  /** When the last request of a GPU ends, ms; now when it holds none. */
  freeAtMs(gpu: number): number {
    const { fleet } = this.#state;
    if (fleet.active[gpu] === 0) return this.#nowMs;
    this.#look(fleet.nodeOf[gpu]!);
    return Math.max(fleet.work.endsAtMs(gpu, this.#nowMs), this.#endsAtMs.get(gpu) ?? this.#nowMs);
  }

  /** When a request's live attempt ends, ms, where it is not measured in tokens. */
  endOf({ decision, placedAtMs, startedAtMs }: Request): number {
    const sinceMs = startedAtMs || placedAtMs;
    const endMs = sinceMs + (decision?.estimate.durationMs ?? 0);
    return endMs > this.#nowMs ? endMs : this.#nowMs + Math.max(OVERRUN_MS, OVERRUN_SHARE * (this.#nowMs - sinceMs));
  }

  #look(node: NodeEntry): void {
    if (this.#looked.has(node)) return;
    this.#looked.add(node);
    const { fleet } = this.#state;
    for (const request of this.#state.onNode(node.nodeId)) {
      const gpus = gpusOf(request).map((gpuId) => fleet.indexOf(gpuId));
      if (gpus.length === 1 && request.decision?.estimate.outputTokens !== undefined) continue;
      const endMs = this.endOf(request);
      for (const gpu of gpus) this.#endsAtMs.set(gpu, Math.max(this.#endsAtMs.get(gpu) ?? 0, endMs));
    }
  }
}
