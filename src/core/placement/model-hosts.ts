// The GPUs whose runners can load models, as one plan sees them: what lies there, what each model's demand would take of each, where a second
// copy of a model is worth something, what could be done beyond what is asked for. Made anew for each plan by model-placement.ts; orders nothing.
import { writeMsPerToken } from "../estimate/service-times.js";
import type { Fleet } from "../fleet/fleet.js";
import type { Beyond, Worth } from "../fleet/model-room.js";
import type { NodeEntry } from "../fleet/node-entry.js";
import type { LoadableModel, RunnerInfo } from "../model/gpu.js";
import type { Demand } from "./demand.js";
import { NOISE, type MixHost, type ModelMix } from "./model-mix.js";

/** After this long without a promise a model counts as one that nobody waits for, ms. */
export const PROMISE_MEMORY_MS = 60_000;
/**
 * What it is worth that a model with promises lies on a second GPU, of another node or of the same: when its only one breaks, its callers wait
 * for a load. GPUs break about once in 50,000 hours (419 interruptions in 54 days on 16,384: Llama 3, 2024) and a load takes seconds, so what
 * is lost on average is far below what a plan can tell from noise: a spare may cost what cannot be told, and takes no other model's place.
 * (Where it did, 16 GPUs carried less than half as much.)
 */
const SPARE = 2 * NOISE;
const SPARE_ON_THE_SAME_NODE = 1.5 * NOISE;

/** A GPU with the runner that loads its models. */
export interface ModelHost extends MixHost {
  readonly gpu: number;
  readonly node: NodeEntry;
  readonly runner: RunnerInfo;
  /** Place in the plan's list, and in the mix. */
  readonly place: number;
  readonly loadable: ReadonlyMap<string, LoadableModel>;
  /** The same for GPUs of one kind with the same models. */
  readonly alike: string;
}

/** What a model's demand takes of each kind of GPU. */
interface Cost {
  readonly shares: readonly number[];
  /** Alone on a kind, one token takes so long, ms; and so long it may take. */
  readonly stepMs: readonly number[];
  readonly bearableMs: number;
}

export class ModelHosts {
  readonly list: ModelHost[] = [];
  readonly #fleet: Fleet;
  readonly #demands: ReadonlyMap<string, Demand>;
  readonly #nowMs: number;
  readonly #costs = new Map<string, Cost | null>();
  readonly #serving = new Map<string, ModelHost[]>();

  constructor(fleet: Fleet, demands: ReadonlyMap<string, Demand>, nowMs: number) {
    this.#fleet = fleet;
    this.#demands = demands;
    this.#nowMs = nowMs;
  }

  add(gpu: number, runner: RunnerInfo, loadable: ReadonlyMap<string, LoadableModel>, models: Set<string>): void {
    const host: ModelHost = {
      gpu,
      node: this.#fleet.nodeOf[gpu]!,
      runner,
      place: this.list.length,
      models,
      loadable,
      alike: `${this.#fleet.work.kind[gpu]} ${[...models].sort().join(" ")}`,
      // Whoever has the GPU to itself leaves nothing.
      taken: this.#fleet.exclusive[gpu]! > 0 ? 1 : 0,
      cost: { get: (modelId) => (loadable.has(modelId) ? this.#cost(modelId, gpu) : undefined) },
    };
    this.list.push(host);
  }

  /** Where a model lies, or will, and is of use. */
  serving(modelId: string): readonly ModelHost[] {
    let serving = this.#serving.get(modelId);
    if (!serving) {
      serving = this.list.filter((host) => host.models.has(modelId) && host.cost.get(modelId) !== Number.POSITIVE_INFINITY);
      this.#serving.set(modelId, serving);
    }
    return serving;
  }

  /** What it is worth that a model with promises lies on this host as well as on one other, in GPUs' worth of work. */
  spare(modelId: string, host: ModelHost): number {
    if (!this.#demands.get(modelId)?.isPromised) return 0;
    const serving = this.serving(modelId);
    const others = serving.length - (serving.includes(host) ? 1 : 0);
    const other = serving[0] === host ? serving[1] : serving[0];
    if (others !== 1 || !other) return 0;
    return other.node === host.node ? SPARE_ON_THE_SAME_NODE : SPARE;
  }

  /** What the hosts could do of each model's demand beyond it, when it goes where `mix` says. */
  beyond(mix: ModelMix, demands: readonly Demand[]): Beyond {
    const beyond = new Map<string, number>();
    const worths = new Map<number, Worth[]>();
    for (const { modelId } of demands) {
      let sum = 0;
      for (const { gpu, place, taken, cost } of this.serving(modelId)) {
        // A model that lies there and could not be loaded there has no known cost.
        const share = 1 / (cost.get(modelId) ?? Number.POSITIVE_INFINITY);
        // What flows to a GPU that somebody has to himself must go to the others.
        sum += share * (taken > 0 ? -mix.part(modelId, place) : 1 - mix.busyOf(place));
        if (share === 0) continue;
        const known = worths.get(gpu);
        if (known) known.push({ modelId, share });
        else worths.set(gpu, [{ modelId, share }]);
      }
      beyond.set(modelId, sum);
    }
    return { beyond, worths };
  }

  /** The share of a GPU that a model's whole demand would take; Infinity where its promises cannot be kept, undefined without demand. */
  #cost(modelId: string, gpu: number): number | undefined {
    let cost = this.#costs.get(modelId);
    if (cost === undefined) {
      cost = this.#costOf(modelId);
      this.#costs.set(modelId, cost);
    }
    if (!cost) return undefined;
    const kind = this.#fleet.work.kind[gpu]!;
    const drag = this.#fleet.work.drag[gpu]!;
    return drag * cost.stepMs[kind]! > cost.bearableMs ? Number.POSITIVE_INFINITY : Math.max(1e-9, drag * cost.shares[kind]!);
  }

  #costOf(modelId: string): Cost | null {
    const demand = this.#demands.get(modelId);
    if (!demand?.isAsked) return null;
    const { input, output } = demand.rates;
    const times = this.#fleet.work.times.of(modelId);
    const kinds = times.stepBaseMs.map((_, kind) => kind);
    const stepMs = kinds.map((kind) => times.stepBaseMs[kind]! + times.stepMsPerRequest[kind]!);
    const promised = this.#nowMs - times.promisedAtMs < PROMISE_MEMORY_MS;
    // A model whose promises no GPU can keep goes where it costs least, as if it had none.
    const able = this.list.some(({ gpu, loadable }) => loadable.has(modelId) && this.#fleet.work.drag[gpu]! * stepMs[this.#fleet.work.kind[gpu]!]! <= times.bearableStepMs);
    return {
      shares: kinds.map((kind) => (input * times.prefillMsPerToken[kind]! + output * writeMsPerToken(times, kind)) / 1000),
      stepMs,
      bearableMs: promised && able ? times.bearableStepMs : Number.POSITIVE_INFINITY,
    };
  }
}
