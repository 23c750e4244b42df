// Refused classes by what they need of a GPU, so that a pass after a release looks at those that this GPU may serve and not at all. Kept by
// standings.ts. A class is found whenever the filters `pin` and `model` would let one of the GPUs pass, at times when others would not.
import { reaches, type RunnerInfo } from "../model/gpu.js";
import type { GpuId } from "../model/ids.js";
import type { EligibilityClass } from "./eligibility-class.js";

/** A GPU that may take work again, and the runners of its node. */
export interface FreedGpu {
  readonly gpuId: GpuId;
  readonly runners: readonly RunnerInfo[];
}

/** With more GPUs than this it costs less to look at all. */
const MAX_GPUS = 64;

type Classes = Set<EligibilityClass>;

export class RefusedIndex {
  /** What the clock may heal. */
  readonly healing: Classes = new Set();
  /** Work on several GPUs: any that is freed may complete them. */
  readonly #gangs: Classes = new Set();
  readonly #byPin = new Map<GpuId, Classes>();
  /** By model, then type. */
  readonly #byModel = new Map<string, Map<string, Classes>>();
  readonly #all: Classes = new Set();

  get all(): ReadonlySet<EligibilityClass> {
    return this.#all;
  }

  add(of: EligibilityClass): void {
    this.#all.add(of);
    this.#placeOf(of).add(of);
  }

  /** Does nothing for one that is not there. `of` stands as it did when it was added. */
  delete(of: EligibilityClass): void {
    if (!this.#all.delete(of)) return;
    this.#placeOf(of).delete(of);
    const { modelId, type, pin } = of.needs;
    if (this.#byPin.get(pin as GpuId)?.size === 0) this.#byPin.delete(pin as GpuId);
    const types = this.#byModel.get(modelId);
    if (types?.get(type)?.size === 0) types.delete(type);
    if (types?.size === 0) this.#byModel.delete(modelId);
  }

  /** Those that one of `freed` may serve, each once. O(runners of these GPUs, their models, and what is found). */
  *servableBy(freed: readonly FreedGpu[]): Iterable<EligibilityClass> {
    if (freed.length > MAX_GPUS) {
      yield* this.#all;
      return;
    }
    yield* this.healing;
    yield* this.#gangs;
    const found = new Set<Classes>();
    for (const { gpuId, runners } of freed) {
      const pinned = this.#byPin.get(gpuId);
      if (pinned) found.add(pinned);
      for (const runner of runners) {
        if (!reaches(runner, gpuId)) continue;
        const { models, types } = runner;
        for (const ofModel of this.#ofModels(models)) {
          for (const [type, classes] of ofModel) if (types.length === 0 || types.includes(type)) found.add(classes);
        }
      }
    }
    for (const classes of found) yield* classes;
  }

  #ofModels(models: RunnerInfo["models"]): Iterable<Map<string, Classes>> {
    if (models.includes("*")) return this.#byModel.values();
    return models.flatMap((model) => this.#byModel.get(model) ?? []);
  }

  #placeOf({ needs: { modelId, type, pin, gpus }, healsWithTime }: EligibilityClass): Classes {
    if (healsWithTime) return this.healing;
    if (gpus > 1) return this.#gangs;
    if (pin !== "") return entryOf(this.#byPin, pin, () => new Set());
    return entryOf(entryOf(this.#byModel, modelId, () => new Map<string, Classes>()), type, () => new Set());
  }
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
