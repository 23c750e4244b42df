// One run as data: what a worker thread is asked for and what it answers. The same trial gives the same figures wherever it is run.
import { measure, type Measures } from "./measure.js";
import type { Policy } from "./policies.js";
import type { SimulatedRun } from "./result.js";
import { NoRoomError, openWorld, setUp, type Conditions, type World, type WorldOptions } from "./set-up.js";
import { simulate } from "./simulation.js";

export interface Trial {
  readonly world: WorldOptions;
  readonly policy: Policy;
  readonly seed: number;
  readonly conditions: Conditions;
  /** Whether the answer has the run itself, with a row per request. */
  readonly keepRun: boolean;
}

/** `no_room`: the fleet cannot hold the models; the message says so. */
export type TrialResult = { readonly outcome: "measured"; readonly measures: Measures; readonly run: SimulatedRun | null } | { readonly outcome: "no_room"; readonly message: string };

/** A load that was read stays for the policies and seeds that come next. */
const WORLDS_KEPT = 4;

/** Runs trials one after the other in this thread. */
export class TrialRunner {
  readonly #worlds = new Map<string, Promise<World>>();

  /** Rejects with a `TraceError` when a trace is missing. `onProgress` is called with shares of the run, 0..1. */
  async run({ world: options, policy, seed, conditions, keepRun }: Trial, onProgress: (share: number) => void): Promise<TrialResult> {
    const world = await this.#world(options);
    try {
      const run = simulate({ ...setUp(world, policy, seed, conditions), onProgress });
      return { outcome: "measured", measures: measure(run, world.workload.durationMs), run: keepRun ? run : null };
    } catch (error) {
      if (error instanceof NoRoomError) return { outcome: "no_room", message: error.message };
      throw error;
    }
  }

  #world(options: WorldOptions): Promise<World> {
    const key = JSON.stringify(options);
    const kept = this.#worlds.get(key) ?? openWorld(options);
    // The one used last is the last to go.
    this.#worlds.delete(key);
    this.#worlds.set(key, kept);
    for (const oldest of this.#worlds.keys()) {
      if (this.#worlds.size <= WORLDS_KEPT) break;
      this.#worlds.delete(oldest);
    }
    return kept;
  }
}
