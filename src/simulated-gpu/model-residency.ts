// Which models a GPU holds, and what memory their weights leave for the key-value cache that all of them share.
// Asked by the simulator and the simulated runner before work begins; gives the batching engine its times. Knows no clock: the caller
// passes the time, and comes back when a model is ready.
import { assert } from "../lib/assert.js";
import type { GpuKind } from "./gpu-kinds.js";
import { engineMemoryMib, serviceTimes, WORKSPACE_MIB, type ServiceTimes } from "./service-times.js";

export type LoadOutcome =
  | { readonly outcome: "loading"; readonly readyAtMs: number }
  /** It is there or on its way; one that was on its way out stays. */
  | { readonly outcome: "held"; readonly readyAtMs: number }
  | { readonly outcome: "no_room"; readonly neededMib: number; readonly freeMib: number };

export type UnloadOutcome = "unloaded" | "draining" | "not_held";

export type ResidencyState = "absent" | "loading" | "ready" | "draining";

interface Resident {
  readonly times: ServiceTimes;
  readonly readyAtMs: number;
  /** Requests that need it. */
  users: number;
  draining: boolean;
}

/** As a runner tells it: MiB, ms, bytes, tokens. */
export interface Described {
  readonly models: string[];
  readonly loadable: { readonly modelId: string; readonly memoryMib: number; readonly loadMs: number; readonly kvTokenBytes: number }[];
  readonly kvCapacityTokens: number;
}

/** Tokens of 128 KiB in a MiB of key-value cache, in which a runner that tells its models' tokens counts. */
const TOKENS_PER_MIB = 8;
/** Cache without which a model serves nothing worth loading it for. */
const MIN_KV_MIB = 1024;

export class ModelResidency {
  readonly #kind: GpuKind;
  readonly #loadSpeed: number;
  readonly #residents = new Map<string, Resident>();

  /** `loadSpeed` divides the time that loading takes. */
  constructor(kind: GpuKind, loadSpeed = 1) {
    this.#kind = kind;
    this.#loadSpeed = loadSpeed;
  }

  /** In the order in which they came. */
  get modelIds(): readonly string[] {
    return [...this.#residents.keys()];
  }

  /** Memory of all weights, MiB. */
  get weightsMib(): number {
    let sum = 0;
    for (const { times } of this.#residents.values()) sum += times.weightsMib;
    return sum;
  }

  /** Memory that is left for the shared cache, MiB. */
  get kvMib(): number {
    const workspaces = Math.max(1, this.#residents.size) * WORKSPACE_MIB;
    return Math.max(0, engineMemoryMib(this.#kind) - this.weightsMib - workspaces);
  }

  state(modelId: string, nowMs: number): ResidencyState {
    const resident = this.#residents.get(modelId);
    if (!resident) return "absent";
    if (resident.draining) return "draining";
    return nowMs >= resident.readyAtMs ? "ready" : "loading";
  }

  /** The speeds of a model, with the room that the cache has beside the models held now. Throws for a model that is not held. */
  times(modelId: string): ServiceTimes {
    const resident = this.#residents.get(modelId);
    assert(resident !== undefined, `${modelId} is not on this GPU`);
    const { times } = resident;
    return { ...times, kvCapacityTokens: Math.floor(this.kvMib / times.kvMibPerToken) };
  }

  /** What a runner tells of a GPU that can load `modelIds`: which of them serve, what each takes that fits, and the cache in tokens of 128 KiB. */
  describe(modelIds: readonly string[], nowMs: number): Described {
    const offered = modelIds.map((modelId) => ({ modelId, times: serviceTimes(this.#kind, modelId) })).filter(({ times }) => times.kvCapacityTokens > 0);
    return {
      models: modelIds.filter((modelId) => this.state(modelId, nowMs) === "ready"),
      loadable: offered.map(({ modelId, times }) => ({ modelId, memoryMib: Math.ceil(times.weightsMib), loadMs: times.loadMs / this.#loadSpeed, kvTokenBytes: times.kvMibPerToken * 2 ** 20 })),
      kvCapacityTokens: Math.floor(this.kvMib * TOKENS_PER_MIB),
    };
  }

  /**
   * Begins to load a model: its memory is taken at once, it serves from `readyAtMs` on. `kvUsedMib` is what requests hold of the cache
   * now, which cannot be given away. Afterwards the engine's times are other ones (`retime`).
   */
  load(modelId: string, kvUsedMib: number, nowMs: number): LoadOutcome {
    const held = this.#residents.get(modelId);
    if (held) {
      held.draining = false;
      return { outcome: "held", readyAtMs: held.readyAtMs };
    }
    const times = serviceTimes(this.#kind, modelId);
    const neededMib = times.weightsMib + (this.#residents.size > 0 ? WORKSPACE_MIB : 0);
    const freeMib = Math.max(0, this.kvMib - Math.max(MIN_KV_MIB, kvUsedMib));
    if (neededMib > freeMib) return { outcome: "no_room", neededMib, freeMib };
    const readyAtMs = nowMs + times.loadMs / this.#loadSpeed;
    this.#residents.set(modelId, { times, readyAtMs, users: 0, draining: false });
    return { outcome: "loading", readyAtMs };
  }

  /** Holds a model from the beginning on, such as what a node was started with. Returns whether it fits. */
  preload(modelId: string): boolean {
    return this.load(modelId, 0, Number.NEGATIVE_INFINITY).outcome !== "no_room";
  }

  /** Frees the memory of a model, once nobody uses it: until then it takes no new requests. */
  unload(modelId: string): UnloadOutcome {
    const resident = this.#residents.get(modelId);
    if (!resident) return "not_held";
    if (resident.users === 0) {
      this.#residents.delete(modelId);
      return "unloaded";
    }
    resident.draining = true;
    return "draining";
  }

  /** A request begins to need a model. False when it takes none now: absent, loading or draining. */
  begin(modelId: string, nowMs: number): boolean {
    const resident = this.#residents.get(modelId);
    if (!resident || this.state(modelId, nowMs) !== "ready") return false;
    resident.users += 1;
    return true;
  }

  /** A request is done with a model. Returns whether that was the last one of a model that drains, which is gone now. */
  end(modelId: string): boolean {
    const resident = this.#residents.get(modelId);
    assert(resident !== undefined && resident.users > 0, `a request ends with ${modelId} that never began`);
    resident.users -= 1;
    if (resident.users > 0 || !resident.draining) return false;
    this.#residents.delete(modelId);
    return true;
  }
}
