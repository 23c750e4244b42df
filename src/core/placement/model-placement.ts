// Which models lie on which GPUs, where runners can load them: demand per model against what its GPUs can do. Called by the engine
// for each accepted request and at each tick; gives orders, the runners that nodes report say what came of them. Not durable.
// Replicates what is short before the line grows, takes the place of what has too much, and never moves faster than loading pays.
import { writeMsPerToken, type ModelTimes } from "../estimate/service-times.js";
import type { Effect } from "../events.js";
import type { Fleet } from "../fleet/fleet.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { RunnerInfo } from "../model/gpu.js";
import type { ModelId } from "../model/ids.js";
import type { Waiting } from "../queue/eligibility-class.js";
import type { RequestSpec } from "../model/request.js";
import type { CoreSettings } from "../settings.js";

const PLAN_EVERY_MS = 1_000;
/** Demand of this long ago weighs 1/e. */
const DEMAND_TAU_MS = 30_000;
/** Bursts are seen over this time, ms, and prepared for this long. */
const BURST_TAU_MS = 5_000;
const BURST_MEMORY_MS = 180_000;
/** A burst counts up to this many times the mean, and with this share of it: the rest waits. */
const MAX_BURST = 4;
const BURST_WEIGHT = 0.25;
/** Work that nobody waits for counts for less: it can be done when the others have had theirs. */
const UNHURRIED_WEIGHT = 0.4;
/** Share of requests that may miss their time before a model counts as short of GPUs. */
const MISSED_SHARE = 0.01;
/** Work that waits longer than this for a GPU wants another, ms. */
const LONG_WAIT_MS = 15_000;
/** A model may go from a GPU only after this long: loading it was not for nothing. */
const MIN_RESIDENCY_MS = 30_000;
/** GPUs that load at the same time, as a share of the fleet. */
const LOADING_SHARE = 1 / 8;
/** An order that nothing came of is forgotten after this long, ms; loading takes at most so long. */
const ORDER_LOST_AFTER_MS = 300_000;
/** Expected busy share of its GPUs above which a model gets another. */
const SHORT_ABOVE = 0.6;
/** By so much a move must lower the busiest share, or it is not worth its loading. */
const MIN_GAIN = 0.1;
/** Share of a GPU's memory that weights may take: the rest is for key-value caches. */
const MAX_WEIGHT_SHARE = 0.65;
/** The same for a model that has the GPU to itself. */
const MAX_WEIGHT_SHARE_ALONE = 0.82;
/** After this long without a promise a model counts as one that nobody waits for, ms. */
const PROMISE_MEMORY_MS = 60_000;
const MAX_MODELS = 1_000;

type OrderModel = Extract<Effect, { kind: "order_model" }>;

interface Demand {
  readonly modelId: ModelId;
  /** Tokens per second, decayed. */
  inputRate: number;
  outputRate: number;
  /** All tokens per second over a short time, and the highest share by which that lately passed the mean. */
  burstRate: number;
  burst: number;
  /** Requests, and those that could not be in time; decayed. */
  asked: number;
  missed: number;
  /** How long the first in line has waited, ms. */
  waitMs: number;
  atMs: number;
}

/** A GPU as the plan sees it. */
interface Host {
  readonly gpu: number;
  readonly runner: RunnerInfo;
  readonly weightsMib: Map<string, number>;
  readonly models: Set<string>;
  /** Expected busy share. */
  load: number;
}

export class ModelPlacement {
  readonly #fleet: Fleet;
  readonly #settings: CoreSettings;
  readonly #demands = new Map<string, Demand>();
  /** By runner of a GPU and model: since when it is (to be) there, ms. */
  readonly #since = new Map<string, number>();
  readonly #loading = new Map<string, number>();
  /** What was ordered to go and is still told of: it counts as gone. */
  readonly #leaving = new Map<string, number>();
  #nextPlanMs = 0;

  constructor(fleet: Fleet, settings: CoreSettings) {
    this.#fleet = fleet;
    this.#settings = settings;
  }

  /** A request was accepted. */
  asked({ modelId, wishes }: RequestSpec, estimate: ResourceEstimate, nowMs: number): void {
    const weight = wishes && (wishes.totalMs > 0 || wishes.firstOutputMs > 0 || wishes.deadlineAtMs > 0) ? 1 : UNHURRIED_WEIGHT;
    const inputTokens = weight * (estimate.inputTokens ?? 0);
    const outputTokens = weight * (estimate.outputTokens ?? 0);
    if (inputTokens + outputTokens === 0) return;
    let demand = this.#demands.get(modelId);
    // The model that was asked for longest ago is forgotten first, not the one that was asked for first.
    this.#demands.delete(modelId);
    if (!demand) {
      if (this.#demands.size >= MAX_MODELS) this.#demands.delete(this.#demands.keys().next().value!);
      demand = { modelId, inputRate: 0, outputRate: 0, burstRate: 0, burst: 0, asked: 0, missed: 0, waitMs: 0, atMs: nowMs };
    }
    this.#demands.set(modelId, demand);
    decay(demand, nowMs);
    demand.inputRate += (inputTokens * 1000) / DEMAND_TAU_MS;
    demand.outputRate += (outputTokens * 1000) / DEMAND_TAU_MS;
    demand.burstRate += ((inputTokens + outputTokens) * 1000) / BURST_TAU_MS;
    demand.asked += 1;
    const mean = demand.inputRate + demand.outputRate;
    demand.burst = Math.max(demand.burst, Math.min(MAX_BURST, demand.burstRate / mean - 1));
  }

  /** A request could not be in time. */
  missed(modelId: ModelId): void {
    const demand = this.#demands.get(modelId);
    if (demand) demand.missed += 1;
  }

  /** Once a second: limits for batch work, and at most one move. `heads` are the first of each class in line. */
  tick(nowMs: number, heads: Iterable<Waiting>): readonly OrderModel[] {
    if (nowMs < this.#nextPlanMs) return [];
    this.#lineUp(heads, nowMs);
    this.#nextPlanMs = nowMs + PLAN_EVERY_MS;
    this.#limitBatch(nowMs);
    return this.#settings.hybrid.placement ? this.#plan(nowMs) : [];
  }

  #lineUp(heads: Iterable<Waiting>, nowMs: number): void {
    for (const demand of this.#demands.values()) demand.waitMs = 0;
    for (const { spec, acceptedAtMs } of heads) {
      const demand = this.#demands.get(spec.modelId);
      if (demand) demand.waitMs = Math.max(demand.waitMs, nowMs - acceptedAtMs);
    }
  }

  /** Batch work may lengthen an iteration up to a share of what the GPU's interactive models can bear. */
  #limitBatch(nowMs: number): void {
    const { work, nodes } = this.#fleet;
    const share = this.#settings.hybrid.batchStepShare;
    for (const node of nodes.values()) {
      for (const gpu of node.gpus) {
        let limit = Number.POSITIVE_INFINITY;
        const { gpuId } = this.#fleet.inventory[gpu]!;
        for (const { gpuIds, models } of node.runners) {
          if (gpuIds.length > 0 && !gpuIds.includes(gpuId)) continue;
          const asked = models.includes("*") ? this.#demands.keys() : models;
          for (const modelId of asked) {
            const { bearableStepMs, promisedAtMs } = work.times.of(modelId);
            if (nowMs - promisedAtMs < PROMISE_MEMORY_MS) limit = Math.min(limit, share >= 1 ? Number.POSITIVE_INFINITY : bearableStepMs * share);
          }
        }
        work.batchStepLimitMs[gpu] = limit;
      }
    }
  }

  #plan(nowMs: number): readonly OrderModel[] {
    const hosts = this.#hosts(nowMs);
    if (hosts.length === 0) return [];
    for (const orders of [this.#loading, this.#leaving]) for (const [key, sinceMs] of orders) if (nowMs - sinceMs > ORDER_LOST_AFTER_MS) orders.delete(key);
    if (this.#loading.size >= Math.max(1, Math.floor(hosts.length * LOADING_SHARE))) return [];
    for (const demand of this.#demands.values()) decay(demand, nowMs);
    this.#spread(hosts);
    const pressures = [...this.#demands.values()].map((demand) => ({ demand, pressure: this.#pressure(demand, hosts) }));
    pressures.sort((a, b) => b.pressure - a.pressure);
    for (const { demand, pressure } of pressures) {
      if (pressure <= SHORT_ABOVE) break;
      const orders = this.#bestMove(demand, pressure, hosts, nowMs);
      if (orders.length > 0) return orders;
    }
    return [];
  }

  /** The GPUs whose runner can load models, with what lies or will lie there. */
  #hosts(nowMs: number): Host[] {
    const hosts: Host[] = [];
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
          if (!this.#since.has(key)) this.#since.set(key, nowMs);
          if (!this.#leaving.has(key)) models.add(modelId);
        }
        for (const { modelId } of runner.loadable) {
          const key = `${gpu} ${modelId}`;
          if (!this.#loading.has(key)) continue;
          told.add(key);
          models.add(modelId);
        }
        hosts.push({ gpu, runner, weightsMib: new Map(runner.loadable.map(({ modelId, memoryMib }) => [modelId, memoryMib])), models, load: 0 });
      }
    }
    // What nobody tells of any more is gone, and an order to a node that is away with it.
    for (const known of [this.#since, this.#loading, this.#leaving]) for (const key of known.keys()) if (!told.has(key)) known.delete(key);
    return hosts;
  }

  /** The share of a GPU of this kind that a model's whole demand would take. */
  #cost({ modelId, inputRate, outputRate, burst }: Demand, gpu: number): number {
    const times: ModelTimes = this.#fleet.work.times.of(modelId);
    const kind = this.#fleet.work.kind[gpu]!;
    return ((inputRate * times.prefillMsPerToken[kind]! + outputRate * writeMsPerToken(times, kind)) * (1 + BURST_WEIGHT * burst)) / 1000;
  }

  /** Each model's demand goes to its GPUs in proportion to their speed: all of them get the same share of busy time from it. */
  #share(demand: Demand, hosts: readonly Host[], except: Host | null, also: Host | null): number {
    let speed = 0;
    for (const host of hosts) {
      if ((host.models.has(demand.modelId) && host !== except) || host === also) speed += 1 / Math.max(1e-9, this.#cost(demand, host.gpu));
    }
    return speed === 0 ? Number.POSITIVE_INFINITY : 1 / speed;
  }

  #spread(hosts: readonly Host[]): void {
    for (const demand of this.#demands.values()) {
      const share = this.#share(demand, hosts, null, null);
      for (const host of hosts) if (host.models.has(demand.modelId)) host.load += share;
    }
  }

  /** How busy the GPUs of a model are going to be on average; Infinity when it is asked for and lies nowhere. */
  #pressure(demand: Demand, hosts: readonly Host[]): number {
    if (demand.inputRate + demand.outputRate < 1e-3) return 0;
    let loads = 0;
    let count = 0;
    for (const host of hosts) {
      if (!host.models.has(demand.modelId)) continue;
      loads += host.load;
      count += 1;
    }
    if (count === 0) return Number.POSITIVE_INFINITY;
    // Whatever the rates say: where promises cannot be kept, or work waits long, GPUs are short.
    return demand.missed > MISSED_SHARE * demand.asked || demand.waitMs > LONG_WAIT_MS ? Math.max(1, loads / count) : loads / count;
  }

  /** Loads a model where it lowers the pressure most, in the place of another when there is no room. */
  #bestMove(demand: Demand, pressure: number, hosts: readonly Host[], nowMs: number): readonly OrderModel[] {
    let best: { host: Host; victims: readonly string[]; after: number } | null = null;
    const before = this.#share(demand, hosts, null, null);
    for (const host of hosts) {
      const needMib = host.weightsMib.get(demand.modelId);
      if (needMib === undefined || host.models.has(demand.modelId)) continue;
      const victims = this.#victims(host, needMib, hosts, nowMs);
      if (!victims) continue;
      const own = this.#share(demand, hosts, null, host);
      const relief = before === Number.POSITIVE_INFINITY ? 0 : before - own;
      // What the busiest of those concerned will be: the model's other GPUs, this one, the victims' others.
      let after = pressure === Number.POSITIVE_INFINITY ? 0 : pressure - Math.max(relief, pressure * (before > 0 ? 1 - own / before : 0));
      let here = host.load + own;
      for (const victim of victims) {
        here -= this.#shareOf(victim, hosts);
        after = Math.max(after, this.#pressureWithout(victim, host, hosts));
      }
      after = Math.max(after, here);
      if (!best || after < best.after) best = { host, victims, after };
    }
    if (!best || !(best.after < pressure - MIN_GAIN)) return [];
    const { host, victims } = best;
    const { nodeId } = this.#fleet.nodeOf[host.gpu]!;
    const runner = host.runner.name;
    this.#loading.set(`${host.gpu} ${demand.modelId}`, nowMs);
    this.#since.set(`${host.gpu} ${demand.modelId}`, nowMs);
    for (const modelId of victims) this.#leaving.set(`${host.gpu} ${modelId}`, nowMs);
    const orders = victims.map((modelId): OrderModel => ({ kind: "order_model", nodeId, order: { runner, modelId: modelId as ModelId, action: "unload" } }));
    orders.push({ kind: "order_model", nodeId, order: { runner, modelId: demand.modelId, action: "load" } });
    return orders;
  }

  /** What has to go from a GPU to make room for a model of `needMib`, those first that are missed least; null when it cannot be done. */
  #victims(host: Host, needMib: number, hosts: readonly Host[], nowMs: number): readonly string[] | null {
    const totalMib = this.#fleet.memoryTotalMib[host.gpu]!;
    let usedMib = 0;
    for (const modelId of host.models) usedMib += host.weightsMib.get(modelId) ?? 0;
    const staying = new Set(host.models);
    const fits = (): boolean => usedMib + needMib <= totalMib * (staying.size === 0 ? MAX_WEIGHT_SHARE_ALONE : MAX_WEIGHT_SHARE);
    if (fits()) return [];
    const able = [...host.models].filter((modelId) => {
      const key = `${host.gpu} ${modelId}`;
      if (this.#loading.has(key) || nowMs - (this.#since.get(key) ?? nowMs) < MIN_RESIDENCY_MS) return false;
      const demand = this.#demands.get(modelId);
      const elsewhere = hosts.some((other) => other !== host && other.models.has(modelId) && !this.#loading.has(`${other.gpu} ${modelId}`));
      return elsewhere || !demand || demand.inputRate + demand.outputRate < 1e-3;
    });
    const missed = new Map(able.map((modelId) => [modelId, this.#pressureWithout(modelId, host, hosts)]));
    able.sort((a, b) => missed.get(a)! - missed.get(b)!);
    const victims: string[] = [];
    for (const modelId of able) {
      victims.push(modelId);
      staying.delete(modelId);
      usedMib -= host.weightsMib.get(modelId) ?? 0;
      if (fits()) return victims;
    }
    return null;
  }

  #shareOf(modelId: string, hosts: readonly Host[]): number {
    const demand = this.#demands.get(modelId);
    return demand ? this.#share(demand, hosts, null, null) : 0;
  }

  /** The pressure on a model's other GPUs once one of them has lost it. */
  #pressureWithout(modelId: string, host: Host, hosts: readonly Host[]): number {
    const demand = this.#demands.get(modelId);
    if (!demand) return 0;
    const now = this.#share(demand, hosts, null, null);
    const then = this.#share(demand, hosts, host, null);
    if (then === Number.POSITIVE_INFINITY) return demand.inputRate + demand.outputRate < 1e-3 ? 0 : Number.POSITIVE_INFINITY;
    let worst = 0;
    for (const other of hosts) if (other !== host && other.models.has(modelId)) worst = Math.max(worst, other.load - now + then);
    return worst;
  }
}

function decay(demand: Demand, nowMs: number): void {
  const left = Math.exp(Math.min(0, demand.atMs - nowMs) / DEMAND_TAU_MS);
  demand.inputRate *= left;
  demand.outputRate *= left;
  demand.asked *= left;
  demand.missed *= left;
  demand.burstRate *= Math.exp(Math.min(0, demand.atMs - nowMs) / BURST_TAU_MS);
  demand.burst *= Math.exp(Math.min(0, demand.atMs - nowMs) / BURST_MEMORY_MS);
  demand.atMs = nowMs;
}
