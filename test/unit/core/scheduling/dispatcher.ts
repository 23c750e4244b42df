// One strategy over a fleet, without an engine around it: chooses, places, and gives back what it placed.
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { Decision } from "../../../../src/core/model/decision.js";
import { wishesOf } from "../../../../src/core/model/request.js";
import { Scheduler } from "../../../../src/core/scheduling/scheduler.js";
import type { CoreSettings } from "../../../../src/core/settings.js";
import { ask, fleetOf, inventory, settings } from "../build.js";
import type { GpuInventory } from "../../../../src/core/model/gpu.js";

type AskOver = NonNullable<Parameters<typeof ask>[0]>;

/** Product names as drivers tell them, fast and slow. */
export const A100 = "NVIDIA A100-SXM4-80GB";
export const T4 = "Tesla T4";

export class Dispatcher {
  readonly fleet: Fleet;
  readonly scheduler: Scheduler;
  nowMs = 1_000_000;
  #turn = 0;

  /** A fleet of GPUs given by id, or by what they are. */
  constructor(strategy: string, gpus: readonly (string | GpuInventory)[], over: Partial<CoreSettings> = {}) {
    const all = { ...over, strategy };
    this.fleet = fleetOf(gpus.map((gpu) => (typeof gpu === "string" ? inventory(gpu) : gpu)), all);
    this.scheduler = new Scheduler(settings(all), this.fleet.stateFilters.length);
  }

  /** The GPU that would be taken; null for none. Every call has another seed unless one is given. */
  choose(over: AskOver = {}): string | null {
    const choice = this.scheduler.choose(this.fleet, this.#ask(over));
    return choice ? this.fleet.inventory[choice.gpu]!.gpuId : null;
  }

  /** Takes it. */
  place(over: AskOver = {}): string | null {
    const wanted = this.#ask(over);
    const choice = this.scheduler.choose(this.fleet, wanted);
    if (!choice) return null;
    this.fleet.prefixes.placed(choice.gpu, wanted.spec.modelId, wishesOf(wanted.spec).prefixHashes);
    this.fleet.place(choice.gpu, wanted.estimate.memoryMib);
    return this.fleet.inventory[choice.gpu]!.gpuId;
  }

  /** Places as many as fit, at most `most`, and counts them by GPU. */
  fill(most: number, over: AskOver = {}): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let turn = 0; turn < most; turn += 1) {
      const gpu = this.place(over);
      if (gpu === null) break;
      counts[gpu] = (counts[gpu] ?? 0) + 1;
    }
    return counts;
  }

  explain(over: AskOver = {}): Decision {
    return this.scheduler.explain(this.fleet, this.#ask(over));
  }

  #ask(over: AskOver): ReturnType<typeof ask> {
    this.#turn += 1;
    return ask({ seed: Math.imul(this.#turn, 0x9e3779b1) >>> 0, nowMs: this.nowMs, ...over });
  }
}

/** How often each GPU is chosen over `times` seeds, nothing being placed. */
export function frequencies(dispatcher: Dispatcher, times: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let turn = 0; turn < times; turn += 1) {
    const gpu = dispatcher.choose() ?? "";
    counts.set(gpu, (counts.get(gpu) ?? 0) + 1);
  }
  return counts;
}
