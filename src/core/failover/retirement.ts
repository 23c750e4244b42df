// GPUs that have been gone for long are forgotten, or the registry would grow for ever. Called by the engine and by nodes.ts. Since when
// one is gone is counted by this life of the router; that it was forgotten is a fact.
import type { NodeId } from "../model/ids.js";
import { emit } from "../records.js";
import type { Step } from "../events.js";
import type { CoreSettings } from "../settings.js";
import type { State } from "../state.js";

/** How often to look, ms. */
const LOOK_EVERY_MS = 60_000;

export class Retirement {
  readonly #state: State;
  readonly #settings: CoreSettings;
  /** Since when a GPU is gone, ms, by index. */
  readonly #goneSince = new Map<number, number>();
  /** GPUs that their connected node does not report. */
  readonly #unreported = new Set<number>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(state: State, settings: CoreSettings) {
    this.#state = state;
    this.#settings = settings;
  }

  /** A node said hello with these GPUs. */
  reported(nodeId: NodeId, gpuIds: ReadonlySet<string>): void {
    const { nodes, inventory } = this.#state.fleet;
    for (const gpu of nodes.get(nodeId)?.gpus ?? []) {
      if (gpuIds.has(inventory[gpu]!.gpuId)) this.#unreported.delete(gpu);
      else this.#unreported.add(gpu);
    }
  }

  tick(nowMs: number, step: Step): void {
    if (nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    const { fleet } = this.#state;
    for (let gpu = 0; gpu < fleet.size; gpu += 1) {
      if (fleet.isRetired(gpu)) continue;
      if (!this.#isGone(gpu)) {
        this.#goneSince.delete(gpu);
        continue;
      }
      const sinceMs = this.#goneSince.get(gpu) ?? nowMs;
      this.#goneSince.set(gpu, sinceMs);
      if (nowMs - sinceMs < this.#settings.forgetAfterMs) continue;
      this.#goneSince.delete(gpu);
      this.#unreported.delete(gpu);
      emit(this.#state, { kind: "gpu_retired", index: gpu, atMs: nowMs }, step);
    }
  }

  /** What an operator has taken out comes back some day, and what still holds work is not gone. */
  #isGone(gpu: number): boolean {
    const { fleet } = this.#state;
    const { connected, suspect } = fleet.nodeOf[gpu]!;
    const there = suspect || (connected && !this.#unreported.has(gpu));
    return !there && fleet.active[gpu] === 0 && !fleet.maintenance.has(gpu);
  }
}
