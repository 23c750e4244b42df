// Which models lie on which GPUs, where runners can load them: demand per model against what its GPUs can do. Called by the engine
// for each accepted request and at each tick; gives orders, the runners that nodes report say what came of them. Not durable.
// A load pays when what it saves while it serves is more than what is lost while it loads; nothing else is ordered.
import type { Effect } from "../events.js";
import type { Fleet } from "../fleet/fleet.js";
import type { ResourceEstimate } from "../model/decision.js";
import { reaches, type LoadableModel, type RunnerInfo } from "../model/gpu.js";
import type { ModelId } from "../model/ids.js";
import { isBackground, isPromised, type RequestSpec } from "../model/request.js";
import type { CoreSettings } from "../settings.js";
import type { State } from "../state.js";
import { Demand } from "./demand.js";
import { ModelHosts, PROMISE_MEMORY_MS, type ModelHost } from "./model-hosts.js";
import { ModelMix, NOISE } from "./model-mix.js";

const PLAN_EVERY_MS = 1_000;
/** What is loaded now is expected to be of use for so long, ms. */
const HORIZON_MS = 180_000;
/**
 * Rates are guesses, and of many moves the one that looks best is flattered most. A move must save so many times what an average GPU has in it;
 * in a small fleet, where that is much, this share of all there is.
 */
const LEAST_GAIN = 2;
const LEAST_GAIN_SHARE = 0.05;
/** A model lies in the wrong places, whatever the rates say, when it misses more promises than this share, and so many times what the others do. */
const MISPLACED_ABOVE = 0.1;
const MISPLACED_TIMES = 2;
/** What a move for a model that misses its promises counts for beside others: it comes first. */
const URGENT_MS = 1e12;
/** A model may go from a GPU only after this long: loading it was not for nothing. */
const MIN_RESIDENCY_MS = 15_000;
/** One that was found somewhere, such as after a restart, stays so much longer: who asks for it is not known yet. */
const UNKNOWN_MS = 15_000;
/** GPUs that load at the same time, as a share of the fleet: a burst takes several to be caught, one after the other it is over before. */
const LOADING_SHARE = 1 / 4;
/** An order that nothing came of is forgotten after this long, ms; loading takes at most so long. */
const ORDER_LOST_AFTER_MS = 300_000;
/** Share of a GPU's memory that weights may take: the rest is for key-value caches. */
const MAX_WEIGHT_SHARE = 0.7;
/** The same for a model that has the GPU to itself. */
const MAX_WEIGHT_SHARE_ALONE = 0.82;
const MAX_MODELS = 1_000;
/** What a prompt counts for that says nothing of its length, of a model that has answered none yet: near the medians of public conversation traces. */
const UNKNOWN_PROMPT = { inputTokens: 1_024, outputTokens: 128 };
/** A plan ends when it has looked at so many GPUs, and the next goes on: a few ms at most. A thousand GPUs with a dozen models take several. */
const MOST_LOOKS = 4_000;
type OrderModel = Extract<Effect, { kind: "order_model" }>;

interface PlannedMove {
  readonly host: ModelHost;
  readonly demand: Demand;
  readonly victims: readonly string[];
  readonly savingMs: number;
}

export class ModelPlacement {
  readonly #fleet: Fleet;
  readonly #settings: CoreSettings;
  readonly #demands = new Map<string, Demand>();
  /** By GPU and model: since when it is (to be) there, as far as that keeps it there, ms. */
  readonly #since = new Map<string, number>();
  readonly #loading = new Map<string, number>();
  /** What was ordered to go and is still told of: it counts as gone. */
  readonly #leaving = new Map<string, number>();
  /** By runner, while it is told of: what it can load, by model. */
  readonly #loadable = new WeakMap<RunnerInfo, ReadonlyMap<string, LoadableModel>>();
  #nextPlanMs = 0;
  /** Where the next plan begins; "" for at the first. */
  #nextModelId = "";

  constructor(fleet: Fleet, settings: CoreSettings) {
    this.#fleet = fleet;
    this.#settings = settings;
  }

  /** A request was accepted. */
  asked(spec: RequestSpec, estimate: ResourceEstimate, nowMs: number): void {
    const { inputTokens = 0, outputTokens = 0 } = (estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0) > 0 ? estimate : isPrompt(spec) ? UNKNOWN_PROMPT : {};
    if (inputTokens + outputTokens === 0) return;
    const { modelId } = spec;
    const demand = this.#demands.get(modelId) ?? new Demand(modelId, nowMs);
    // The model that was asked for longest ago is forgotten first, not the one that was asked for first.
    if (!this.#demands.delete(modelId) && this.#demands.size >= MAX_MODELS) this.#demands.delete(this.#demands.keys().next().value!);
    this.#demands.set(modelId, demand);
    demand.take(inputTokens, outputTokens, isPromised(spec) ? "promised" : isBackground(spec) ? "background" : "attended", nowMs);
  }

  /** Demand is not durable: models that nobody else asks for would stay away from those who wait for them. */
  takenOver({ requests, queue }: Pick<State, "requests" | "queue">, nowMs: number): void {
    for (const requestId of requests.keys()) {
      const waiting = queue.get(requestId);
      if (waiting) this.asked(waiting.spec, waiting.estimate, nowMs);
    }
  }

  /** A request could not be in time. */
  missed(modelId: ModelId): void {
    this.#demands.get(modelId)?.miss();
  }

  /** Once a second: what the ledger is to know of the models, and at most one move. */
  tick(nowMs: number): readonly OrderModel[] {
    if (nowMs < this.#nextPlanMs) return [];
    for (const demand of this.#demands.values()) demand.follow(nowMs);
    this.#nextPlanMs = nowMs + PLAN_EVERY_MS;
    this.#tellLedger(nowMs);
    const { placement, modelRoom } = this.#settings.hybrid;
    if (!placement && !modelRoom) return [];
    const hosts = this.#hosts(nowMs);
    const wanted = [...this.#demands.values()].filter(({ isAsked }) => isAsked);
    const mix = new ModelMix(hosts.list, wanted.map(({ modelId }) => modelId));
    this.#fleet.modelRoom.write(hosts.beyond(mix, wanted.filter(({ isAttended }) => isAttended)));
    return placement ? this.#plan(hosts, wanted, mix, nowMs) : [];
  }

  /**
   * Tells the ledger what the models of each GPU are asked for by those who wait: batch work may lengthen an iteration up to a share of what
   * they can bear, and whoever goes there delays those that are going to come.
   */
  #tellLedger(nowMs: number): void {
    const { work, nodes, inventory } = this.#fleet;
    const share = this.#settings.hybrid.batchStepShare;
    const copies = new Map<string, number>();
    const served: { readonly gpu: number; readonly modelId: string }[] = [];
    for (const node of nodes.values()) {
      for (const gpu of node.gpus) {
        let limit = Number.POSITIVE_INFINITY;
        const { gpuId } = inventory[gpu]!;
        for (const runner of node.runners) {
          if (!reaches(runner, gpuId)) continue;
          for (const modelId of runner.models.includes("*") ? this.#demands.keys() : runner.models) {
            const { bearableStepMs, promisedAtMs } = work.times.of(modelId);
            if (nowMs - promisedAtMs >= PROMISE_MEMORY_MS) continue;
            if (share < 1) limit = Math.min(limit, bearableStepMs * share);
            copies.set(modelId, (copies.get(modelId) ?? 0) + 1);
            served.push({ gpu, modelId });
          }
        }
        work.batchStepLimitMs[gpu] = limit;
        work.expectedTokensPerMs[gpu] = 0;
      }
    }
    for (const { gpu, modelId } of served) work.expectedTokensPerMs[gpu]! += (this.#demands.get(modelId)?.promisedOutputPerMs ?? 0) / copies.get(modelId)!;
  }

  #plan(hosts: ModelHosts, wanted: readonly Demand[], mix: ModelMix, nowMs: number): readonly OrderModel[] {
    const { length } = hosts.list;
    if (length === 0 || this.#loading.size >= Math.max(1, Math.floor(length * LOADING_SHARE))) return [];
    const leastMs = Math.max(NOISE, mix.content * Math.min(LEAST_GAIN / length, LEAST_GAIN_SHARE)) * HORIZON_MS;
    const missed = wanted.reduce((sum, { missedShare }) => sum + missedShare, 0);
    const leastBusyFirst = hosts.list.toSorted((a, b) => mix.busyOf(a.place) - mix.busyOf(b.place));
    const mostLooks = mix.looks + MOST_LOOKS;
    let best: PlannedMove | null = null;
    // Where a plan is cut short the next one goes on.
    const first = Math.max(0, wanted.findIndex(({ modelId }) => modelId === this.#nextModelId));
    this.#nextModelId = "";
    for (let turn = 0; turn < wanted.length && this.#nextModelId === ""; turn += 1) {
      const demand = wanted[(first + turn) % wanted.length]!;
      const { modelId } = demand;
      // Whose requests keep missing their time gets another GPU if nobody loses much by it; once that serves, it shows whether it helped.
      const elsewhere = (missed - demand.missedShare) / Math.max(1, wanted.length - 1);
      const short = demand.missedShare > MISPLACED_ABOVE + MISPLACED_TIMES * elsewhere && !this.#isLoading(modelId);
      const floorMs = short ? -leastMs : leastMs;
      for (const { host, victims } of this.#places(demand, leastBusyFirst, hosts, mix, nowMs)) {
        // A spare takes no other model's place.
        const spareMs = victims.length === 0 ? HORIZON_MS * hosts.spare(modelId, host) : 0;
        const savingMs = this.#saving(host, modelId, victims, mix, floorMs - spareMs, nowMs) + spareMs + (short ? URGENT_MS : 0);
        if (savingMs > (best?.savingMs ?? floorMs)) best = { host, demand, victims, savingMs };
        if (mix.looks < mostLooks) continue;
        this.#nextModelId = wanted[(first + turn + 1) % wanted.length]!.modelId;
        break;
      }
    }
    return best ? this.#order(best, nowMs) : [];
  }

  /** Where a model may go, with what has to go for it: of GPUs that are alike only the least busy. */
  *#places({ modelId }: Demand, leastBusyFirst: readonly ModelHost[], hosts: ModelHosts, mix: ModelMix, nowMs: number): Iterable<{ readonly host: ModelHost; readonly victims: readonly string[] }> {
    const tried = new Set<string>();
    for (const host of leastBusyFirst) {
      if (tried.has(host.alike)) continue;
      const loadable = host.loadable.get(modelId);
      if (!loadable || host.models.has(modelId) || host.cost.get(modelId) === Number.POSITIVE_INFINITY) continue;
      const victims = this.#victims(host, loadable.memoryMib, hosts, mix, nowMs);
      if (!victims) continue;
      tried.add(host.alike);
      yield { host, victims };
    }
  }

  #isLoading(modelId: string): boolean {
    for (const key of this.#loading.keys()) if (key.endsWith(` ${modelId}`)) return true;
    return false;
  }

  /** What a move saves over the horizon: what it gains once the model serves, less what is missing while the victims' work ends and it loads. */
  #saving(host: ModelHost, modelId: string, victims: readonly string[], mix: ModelMix, floorMs: number, nowMs: number): number {
    const drainMs = victims.length === 0 ? 0 : this.#fleet.work.endsAtMs(host.gpu, nowMs) - nowMs;
    const untilMs = Math.min(HORIZON_MS, drainMs + (host.loadable.get(modelId)?.loadMs ?? 0));
    const gained = mix.gain(host.place, victims, modelId) * (HORIZON_MS - untilMs);
    return gained <= floorMs || victims.length === 0 ? gained : gained + mix.gain(host.place, victims, null) * untilMs;
  }

  #order({ host, demand, victims }: PlannedMove, nowMs: number): readonly OrderModel[] {
    const { modelId } = demand;
    demand.forgetMisses();
    const { nodeId } = this.#fleet.nodeOf[host.gpu]!;
    const runner = host.runner.name;
    this.#loading.set(`${host.gpu} ${modelId}`, nowMs);
    this.#since.set(`${host.gpu} ${modelId}`, nowMs);
    for (const victim of victims) this.#leaving.set(`${host.gpu} ${victim}`, nowMs);
    const orders = victims.map((victim): OrderModel => ({ kind: "order_model", nodeId, order: { runner, modelId: victim as ModelId, action: "unload" } }));
    orders.push({ kind: "order_model", nodeId, order: { runner, modelId, action: "load" } });
    return orders;
  }

  /** The GPUs whose runner can load models, with what lies or will lie there. */
  #hosts(nowMs: number): ModelHosts {
    for (const orders of [this.#loading, this.#leaving]) for (const [key, sinceMs] of orders) if (nowMs - sinceMs > ORDER_LOST_AFTER_MS) orders.delete(key);
    const hosts = new ModelHosts(this.#fleet, this.#demands, nowMs);
    const told = new Set<string>();
    for (const node of this.#fleet.nodes.values()) {
      if (!node.connected) continue;
      for (const runner of node.runners) {
        const gpu = runner.gpuIds.length === 1 ? this.#fleet.indexOf(runner.gpuIds[0]!) : -1;
        if (gpu < 0 || !runner.loadable || runner.loadable.length === 0 || this.#fleet.health.isOut(gpu)) continue;
        const models = new Set<string>();
        for (const modelId of runner.models) {
          const key = `${gpu} ${modelId}`;
          told.add(key);
          this.#loading.delete(key);
          if (!this.#since.has(key)) this.#since.set(key, nowMs + UNKNOWN_MS);
          if (!this.#leaving.has(key)) models.add(modelId);
        }
        for (const { modelId } of runner.loadable) {
          const key = `${gpu} ${modelId}`;
          if (!this.#loading.has(key)) continue;
          told.add(key);
          models.add(modelId);
        }
        hosts.add(gpu, runner, this.#loadableOf(runner), models);
      }
    }
    // What nobody tells of any more is gone, and an order to a node that is away with it.
    for (const known of [this.#since, this.#loading, this.#leaving]) for (const key of known.keys()) if (!told.has(key)) known.delete(key);
    return hosts;
  }

  /** What a runner can load, by model. */
  #loadableOf(runner: RunnerInfo): ReadonlyMap<string, LoadableModel> {
    let loadable = this.#loadable.get(runner);
    if (!loadable) {
      loadable = new Map((runner.loadable ?? []).map((each) => [each.modelId, each]));
      this.#loadable.set(runner, loadable);
    }
    return loadable;
  }

  /** What has to go from a GPU to make room for a model of `needMib`, those first that do least there; null when it cannot be done. */
  #victims(host: ModelHost, needMib: number, hosts: ModelHosts, mix: ModelMix, nowMs: number): readonly string[] | null {
    const totalMib = this.#fleet.memoryTotalMib[host.gpu]!;
    let usedMib = 0;
    for (const modelId of host.models) usedMib += host.loadable.get(modelId)?.memoryMib ?? 0;
    const staying = new Set(host.models);
    const fits = (): boolean => usedMib + needMib <= totalMib * (staying.size === 0 ? MAX_WEIGHT_SHARE_ALONE : MAX_WEIGHT_SHARE);
    if (fits()) return [];
    const able = [...host.models].filter((modelId) => {
      const key = `${host.gpu} ${modelId}`;
      if (this.#loading.has(key) || nowMs - (this.#since.get(key) ?? nowMs) < MIN_RESIDENCY_MS) return false;
      if (!this.#demands.get(modelId)?.isAsked) return true;
      const serving = hosts.serving(modelId);
      return !serving.includes(host) || serving.some((other) => other !== host && !this.#loading.has(`${other.gpu} ${modelId}`));
    });
    able.sort((a, b) => mix.part(a, host.place) - mix.part(b, host.place));
    const victims: string[] = [];
    for (const modelId of able) {
      victims.push(modelId);
      staying.delete(modelId);
      usedMib -= host.loadable.get(modelId)?.memoryMib ?? 0;
      if (fits()) return victims;
    }
    return null;
  }
}

/** Whether a request without tokens is measured in them all the same: what has a time of its own, or is of another type, is not. */
function isPrompt({ type, requirements }: RequestSpec): boolean {
  return type === "inference" && requirements.expectedDurationMs === 0;
}
