// Stops less urgent work for more urgent work that could not be served in time otherwise: only work that agreed to it, and that saves
// what it has done or has not begun. Never what is measured in tokens: its prompt would be read twice. Called by the engine at each tick;
// the stopped goes back in line when its agent says that it has stopped. Not durable: a router that comes back decides anew, and takes
// a stop that it no longer knows of for a failure.
import type { AttemptRef, NodeId, RequestId } from "../model/ids.js";
import { dueAtMs, firstOutputDueAtMs, gpusOf, wishesOf, type Request, type RequestError } from "../model/request.js";
import type { Waiting } from "../queue/waiting-queue.js";
import type { Ask } from "../scheduling/contract.js";
import { teamsOf } from "../scheduling/filters/gang.js";
import type { Scheduler } from "../scheduling/scheduler.js";
import type { CoreSettings, PreemptionSettings } from "../settings.js";
import type { State } from "../state.js";
import { mayTake, type Reserver } from "./reserver.js";

/** Most waiting requests that are looked at per tick. */
const MAX_ASKS = 4;
/** What was handed over longer ago has begun, though its agent's word of it may have been lost. */
const BEGINS_WITHIN_MS = 5_000;

/** What would be stopped on some GPUs of one node. */
interface Clearing {
  readonly gpus: readonly number[];
  readonly victims: ReadonlySet<Request>;
  /** The most urgent of them; 0 without any. */
  readonly priority: number;
  /** GPU time since they began, which is the most that they can lose, ms. */
  readonly lostMs: number;
}

export class Preemption {
  readonly #state: State;
  readonly #scheduler: Scheduler;
  readonly #reserver: Reserver;
  readonly #settings: PreemptionSettings;
  /** Attempts that were told to stop, and for whom. */
  readonly #stopping = new Map<RequestId, { readonly attempt: number; readonly forId: RequestId; readonly order: RequestError | null }>();
  readonly #lastAtMs = new Map<NodeId, number>();
  #restsUntilMs = 0;

  constructor(state: State, scheduler: Scheduler, reserver: Reserver, { preemption }: CoreSettings) {
    this.#state = state;
    this.#scheduler = scheduler;
    this.#reserver = reserver;
    this.#settings = preemption;
  }

  /** Nobody is stopped before this: nodes may be on their way back whose GPUs are free. */
  restUntil(untilMs: number): void {
    this.#restsUntilMs = untilMs;
  }

  isStopping({ requestId, attempt }: AttemptRef): boolean {
    return this.#stopping.get(requestId)?.attempt === attempt;
  }

  /** An attempt was told to stop for another reason than somebody who waits; it is no fault of anybody either. */
  told({ requestId, attempt }: AttemptRef, order: RequestError): void {
    this.#stopping.set(requestId, { attempt, forId: "" as RequestId, order });
  }

  /** What an attempt was told to stop for; null when it was for somebody who waits. */
  orderOf({ requestId }: AttemptRef): RequestError | null {
    return this.#stopping.get(requestId)?.order ?? null;
  }

  /** The live attempt of a request is over, however. */
  ended(requestId: RequestId): void {
    this.#stopping.delete(requestId);
  }

  /** The attempts to stop now, for one waiting request at most; costs nothing while nothing on GPUs may be stopped. */
  tick(nowMs: number, askOf: (waiting: Waiting) => Ask): readonly Request[] {
    const { preemptible } = this.#state;
    if (!this.#settings.enabled || preemptible.size === this.#stopping.size || nowMs < this.#restsUntilMs) return [];
    for (const ask of this.#asks(askOf)) {
      const natural = this.#reserver.soonest(ask);
      if (this.#inTime(ask, natural?.startAtMs ?? Number.POSITIVE_INFINITY)) continue;
      const clearing = this.#cheapest(ask);
      if (!clearing) continue;
      const nodeId = this.#state.fleet.nodeOf[clearing.gpus[0]!]!.nodeId;
      this.#lastAtMs.set(nodeId, nowMs);
      // Else others would fill what was cleared while the last of it is still stopping.
      if (ask.exclusive) this.#reserver.claim(ask, clearing.gpus);
      for (const { spec, attempt } of clearing.victims) this.#stopping.set(spec.requestId, { attempt, forId: ask.spec.requestId, order: null });
      return [...clearing.victims];
    }
    return [];
  }

  /** Those who wait and are urgent enough beside something that may be stopped, most urgent first. */
  #asks(askOf: (waiting: Waiting) => Ask): Ask[] {
    const { preemptible, requests, queue } = this.#state;
    let least = Number.POSITIVE_INFINITY;
    for (const requestId of preemptible) if (!this.#stopping.has(requestId)) least = Math.min(least, requests.get(requestId)!.spec.priority);
    const served = new Set([...this.#stopping.values()].map(({ forId }) => forId));
    const waiting = [...queue.heads()].filter(({ spec, late }) => !late && spec.priority >= least + this.#settings.priorityGap && !served.has(spec.requestId) && !queue.isHopeless(spec.requestId));
    return waiting.sort((a, b) => b.spec.priority - a.spec.priority || a.sequence - b.sequence).slice(0, MAX_ASKS).map(askOf);
  }

  #inTime({ spec, estimate, acceptedAtMs, nowMs }: Ask, startAtMs: number): boolean {
    const dueMs = dueAtMs(spec, acceptedAtMs) - estimate.durationMs;
    const lastMs = Math.min(dueMs, firstOutputDueAtMs(spec, acceptedAtMs));
    // Without a wish, or when that cannot be kept any more, it has patience for a while.
    return startAtMs <= (lastMs < Number.POSITIVE_INFINITY && lastMs >= nowMs ? lastMs : nowMs + this.#settings.patienceMs);
  }

  /** Where it costs least: the least urgent victims, then the least work lost. Null when nothing can be cleared for it. */
  #cheapest(ask: Ask): Clearing | null {
    const { fleet } = this.#state;
    const teamOf = ask.gpus > 1 ? teamsOf(fleet, ask) : null;
    const teams = new Map<number, Clearing[]>();
    for (const gpu of this.#scheduler.eligible(fleet, ask)) {
      const { nodeId } = fleet.nodeOf[gpu]!;
      if (!mayTake(fleet, ask, gpu) || ask.nowMs - (this.#lastAtMs.get(nodeId) ?? Number.NEGATIVE_INFINITY) < this.#settings.nodeIntervalMs) continue;
      const victims = this.#victimsOn(gpu, ask);
      if (!victims) continue;
      const team = teamOf ? teamOf[gpu]! : gpu;
      const known = teams.get(team);
      const one = clearingOf([gpu], victims, ask.nowMs);
      if (known) known.push(one);
      else teams.set(team, [one]);
    }
    let best: Clearing | null = null;
    for (const all of teams.values()) {
      if (all.length < ask.gpus) continue;
      const chosen = all.sort((a, b) => byCost(a, b) || a.gpus[0]! - b.gpus[0]!).slice(0, ask.gpus);
      const whole = clearingOf(chosen.flatMap(({ gpus }) => gpus), chosen.flatMap(({ victims }) => [...victims]), ask.nowMs);
      if (whole.victims.size > 0 && (!best || byCost(whole, best) < 0)) best = whole;
    }
    return best;
  }

  /** What must go from a GPU; null when not all of it may. */
  #victimsOn(gpu: number, ask: Ask): Request[] | null {
    const { fleet } = this.#state;
    if (fleet.active[gpu] === 0) return [];
    const { gpuId } = fleet.inventory[gpu]!;
    const holders = this.#state.onNode(fleet.nodeOf[gpu]!.nodeId).filter((request) => gpusOf(request).includes(gpuId));
    return holders.length > 0 && holders.every((request) => this.#mayStop(request, ask)) ? holders : null;
  }

  #mayStop({ spec, phase, stop, decision, placedAtMs, startedAtMs }: Request, { spec: { priority }, nowMs }: Ask): boolean {
    const { preemptible, checkpoint } = wishesOf(spec);
    if (!preemptible || stop || this.#stopping.has(spec.requestId) || priority - spec.priority < this.#settings.priorityGap) return false;
    if (decision?.estimate.outputTokens !== undefined) return false;
    if (phase === "placed") return nowMs - placedAtMs < BEGINS_WITHIN_MS;
    return checkpoint && nowMs - startedAtMs >= this.#settings.minRunMs;
  }
}

function clearingOf(gpus: readonly number[], all: readonly Request[], nowMs: number): Clearing {
  const victims = new Set(all);
  let priority = 0;
  let lostMs = 0;
  for (const request of victims) {
    priority = Math.max(priority, request.spec.priority);
    if (request.startedAtMs > 0) lostMs += (nowMs - request.startedAtMs) * gpusOf(request).length;
  }
  return { gpus, victims, priority, lostMs };
}

function byCost(a: Clearing, b: Clearing): number {
  return a.priority - b.priority || a.lostMs - b.lostMs;
}
