// The models of a simulated GPU that holds only some at a time: which serve, which load, which wait for room. Owned by the simulated runner.
// What a model takes and whether it fits is model-residency.ts's, as in the simulator; here are the orders and the clock.
import { MAX_TIMER_MS } from "../../../lib/max-timer.js";
import type { GpuKind } from "../../../simulated-gpu/gpu-kinds.js";
import { ModelResidency, type Described } from "../../../simulated-gpu/model-residency.js";
import { serviceTimes, type ServiceTimes } from "../../../simulated-gpu/service-times.js";
import type { ModelOrder } from "../runner.js";

export interface ResidentModelsOptions {
  readonly kind: GpuKind;
  /** Divides the time that loading takes. */
  readonly speed: number;
  /** Names of the catalogue; others are taken for models of 8 billion parameters. All of them fit the kind, each alone. */
  readonly models: readonly string[];
  /** Share of the key-value cache in use now, 0..1: that much of it cannot be given away. */
  readonly kvUse: () => number;
  /** Other models serve, or the memory is shared out otherwise. */
  readonly onChange: () => void;
}

export class ResidentModels {
  readonly #options: ResidentModelsOptions;
  readonly #residency: ModelResidency;
  /** Ordered, waiting for room. */
  readonly #wanted = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: ResidentModelsOptions) {
    this.#options = options;
    this.#residency = new ModelResidency(options.kind, options.speed);
  }

  /** Memory of all weights, MiB. */
  get weightsMib(): number {
    return this.#residency.weightsMib;
  }

  describe(): Described {
    return this.#residency.describe(this.#options.models, performance.now());
  }

  /** The speeds of a model beside the others that are here. */
  times(modelId: string): ServiceTimes {
    return this.#residency.state(modelId, 0) === "absent" ? serviceTimes(this.#options.kind, modelId) : this.#residency.times(modelId);
  }

  /** A job begins to need a model. False when that does not serve: absent, loading or on its way out. */
  begin(modelId: string): boolean {
    return this.#residency.begin(modelId, performance.now());
  }

  /** A job that began is over. */
  end(modelId: string): void {
    const freed = this.#residency.end(modelId);
    // Its share of the cache is free, too: enough perhaps for what waits.
    const loaded = this.#loadWanted();
    if (freed || loaded) this.#options.onChange();
  }

  /** A model on its way out serves those who have it to the end. What finds no room waits for it. */
  order({ modelId, action }: ModelOrder): void {
    if (action === "unload") {
      this.#wanted.delete(modelId);
      this.#residency.unload(modelId);
    } else this.#wanted.add(modelId);
    this.#loadWanted();
    this.#options.onChange();
  }

  close(): void {
    this.#wanted.clear();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #loadWanted(): boolean {
    let loaded = false;
    for (const modelId of this.#wanted) {
      const outcome = this.#residency.load(modelId, this.#options.kvUse() * this.#residency.kvMib, performance.now());
      if (outcome.outcome === "no_room") continue;
      this.#wanted.delete(modelId);
      this.#tellAt(modelId, outcome.readyAtMs);
      loaded = true;
    }
    return loaded;
  }

  #tellAt(modelId: string, readyAtMs: number): void {
    clearTimeout(this.#timers.get(modelId));
    const waitMs = Math.max(0, Math.min(MAX_TIMER_MS, Math.ceil(readyAtMs - performance.now())));
    const timer = setTimeout(() => {
      this.#timers.delete(modelId);
      // Timers may be early by a part of a millisecond.
      if (performance.now() < readyAtMs) this.#tellAt(modelId, readyAtMs);
      else this.#options.onChange();
    }, waitMs);
    this.#timers.set(modelId, timer);
  }
}
