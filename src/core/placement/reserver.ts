// Keeps GPUs for the first in each band that needs more than is free at once: several GPUs, or whole ones. They run empty until it fits;
// meanwhile they take what ends before (backfill). For a large request of the highest priority, and for who has waited too long, it keeps
// room on one GPU. Without it, small work would pass by for ever. Called by the dispatcher. Decides nothing about anybody's placement: the
// filter `reserved` reads what is kept here.
import type { Fleet } from "../fleet/fleet.js";
import type { Reservation } from "../fleet/reservations.js";
import { dueAtMs, firstOutputDueAtMs, isPromised, type RequestSpec } from "../model/request.js";
import type { Waiting } from "../queue/waiting-queue.js";
import type { Ask } from "../scheduling/contract.js";
import { teamsOf } from "../scheduling/filters/gang.js";
import type { Scheduler } from "../scheduling/scheduler.js";
import type { State } from "../state.js";
import { Forecast } from "./forecast.js";

/** Bound on what is kept at a time; one per band at most. */
const MAX_RESERVATIONS = 4;
/** A plan is made again this often: something else may be free sooner. */
const PLAN_EVERY_MS = 1_000;

/** Room is kept for this priority only: kept for lower ones too it helped them little and cost those below much (scenario `main`). */
const KEPT_FOR = 5;
/** Of the GPUs that may serve a request, this share at most is kept for the likes of it; one always may. */
const KEPT_SHARE = 0.25;
/** Where nothing comes free so soon, nothing need be kept, ms. */
const LEAST_KEPT_MS = 300;

/** GPUs that would be free together, and when. */
interface Plan {
  readonly gpus: readonly number[];
  readonly startAtMs: number;
}

export class Reserver {
  readonly #state: State;
  readonly #scheduler: Scheduler;
  #nextPlanMs = 0;
  /** Arrivals of such requests that the last plan knew of. */
  #seenArrivals = -1;
  /** When room may be looked for again for who found none, ms. */
  readonly #nextRoomMs = new WeakMap<RequestSpec, number>();

  constructor(state: State, scheduler: Scheduler) {
    this.#state = state;
    this.#scheduler = scheduler;
  }

  /**
   * Lets go of what nobody waits for any more and keeps GPUs for those who now come first. True when GPUs were let go: somebody else may
   * fit there now. Costs nothing while nobody waits who would need it.
   */
  settle(nowMs: number, askOf: (waiting: Waiting) => Ask): boolean {
    const { queue, fleet } = this.#state;
    if (!queue.hasExclusive && fleet.reservations.size === 0) return false;
    let letGo = false;
    for (const reservation of fleet.reservations.all()) {
      const waiting = queue.get(reservation.requestId);
      const waits = waiting && !queue.isHopeless(reservation.requestId) && !queue.isHeld(waiting.spec);
      // Who cannot be in time any more has gone to a band below.
      if (waits && (reservation.whole || (nowMs <= reservation.startAtMs && queue.bandOf(waiting, nowMs) >= reservation.band))) continue;
      this.#drop(reservation);
      letGo = true;
    }
    if (!queue.hasExclusive) return letGo;
    if (!letGo && nowMs < this.#nextPlanMs && queue.exclusiveArrivals === this.#seenArrivals) return false;
    this.#nextPlanMs = nowMs + PLAN_EVERY_MS;
    this.#seenArrivals = queue.exclusiveArrivals;
    for (const ask of this.#first(nowMs, askOf)) if (this.#reserve(ask)) letGo = true;
    return letGo;
  }

  /** One per band, highest first: who has GPUs kept for him, even when somebody has come before him since, or who is next. */
  #first(nowMs: number, askOf: (waiting: Waiting) => Ask): Ask[] {
    const { queue, fleet } = this.#state;
    // The line first: with it is chosen who goes first for his age, which the asks tell.
    const line = queue.exclusiveLine(nowMs);
    const asks = fleet.reservations.all().flatMap(({ requestId, whole }) => (whole ? [askOf(queue.get(requestId)!)] : []));
    for (let place = line.pop(); place; place = line.pop()) {
      const { band, head } = place;
      if (!asks.some((ask) => ask.band === band)) asks.push(askOf(head));
    }
    return asks.sort((a, b) => b.band - a.band).slice(0, MAX_RESERVATIONS);
  }

  /** Where a request would fit soonest, GPUs that are kept for those before it left out; null when it could nowhere. */
  soonest(ask: Ask): Plan | null {
    const { fleet } = this.#state;
    const forecast = new Forecast(this.#state, ask.nowMs);
    const free = this.#scheduler.eligible(fleet, ask).filter((gpu) => mayTake(fleet, ask, gpu));
    const teamOf = ask.gpus > 1 ? teamsOf(fleet, ask) : null;
    const teams = new Map<number, { readonly gpu: number; readonly atMs: number }[]>();
    for (const gpu of free) {
      const team = teamOf ? teamOf[gpu]! : gpu;
      const known = teams.get(team) ?? [];
      // What shares its GPU waits for a slot, which comes soon, unless somebody has the GPU to himself.
      known.push({ gpu, atMs: ask.exclusive || fleet.exclusive[gpu]! > 0 ? forecast.freeAtMs(gpu) : ask.nowMs });
      teams.set(team, known);
    }
    let best: Plan | null = null;
    for (const all of teams.values()) {
      if (all.length < ask.gpus) continue;
      const chosen = all.sort((a, b) => a.atMs - b.atMs || a.gpu - b.gpu).slice(0, ask.gpus);
      const startAtMs = chosen.at(-1)!.atMs;
      if (!best || startAtMs < best.startAtMs) best = { gpus: chosen.map(({ gpu }) => gpu), startAtMs };
    }
    return best;
  }

  /** True when GPUs were let go. */
  #reserve(ask: Ask): boolean {
    const { reservations } = this.#state.fleet;
    const { requestId } = ask.spec;
    const before = reservations.of(requestId);
    const plan = this.soonest(ask);
    // What would fit at once and was refused all the same is kept out by something that emptier GPUs do not help.
    const useful = plan !== null && plan.startAtMs > ask.nowMs ? plan : null;
    const stays = before && useful && useful.startAtMs >= before.startAtMs && this.#stillPossible(before, ask);
    const chosen = stays ? before : useful;
    if (stays && before.band === ask.band) return false;
    if (before) this.#drop(before);
    let letGo = before !== undefined;
    if (!chosen) return letGo;
    for (const gpu of chosen.gpus) {
      const lower = reservations.at(gpu);
      if (!lower) continue;
      this.#drop(lower);
      letGo = true;
    }
    reservations.add({ requestId, band: ask.band, gpus: chosen.gpus, whole: true, startAtMs: chosen.startAtMs });
    return letGo;
  }

  /**
   * Keeps the room of a GPU for a request of the highest priority that nothing has room for now: work of lower priority, which needs less,
   * would take each bit that comes free, until it is too late. The same for one that has waited longer than anybody should, one at a time:
   * what keeps work in the background from slowing down promises would keep it out for ever. The GPU is the one where least is missing.
   */
  keepRoom(ask: Ask): void {
    const { spec, estimate, band, nowMs } = ask;
    const { fleet } = this.#state;
    const { reservations, work } = fleet;
    const isOverdue = band === Number.POSITIVE_INFINITY;
    if (band < KEPT_FOR || !(isOverdue || isPromised(spec)) || estimate.outputTokens === undefined || ask.exclusive || nowMs < (this.#nextRoomMs.get(spec) ?? 0)) return;
    this.#nextRoomMs.set(spec, nowMs + LEAST_KEPT_MS);
    const eligible = this.#scheduler.eligible(fleet, ask);
    const before = reservations.of(spec.requestId);
    // What refuses it though it holds nothing of ours would refuse it for ever.
    const isUseful = (gpu: number): boolean => fleet.active[gpu]! > 0;
    if (before?.gpus.every((gpu) => eligible.includes(gpu) && isUseful(gpu))) return;
    if (before) this.#drop(before);
    if (isOverdue && reservations.all().some((other) => !other.whole && other.band === band)) return;
    const { prefillMsPerToken } = work.times.of(spec.modelId);
    let kept = 0;
    let best: { readonly gpu: number; readonly missingMs: number; readonly untilMs: number } | null = null;
    for (const gpu of eligible.filter(isUseful)) {
      const other = reservations.at(gpu);
      if (other && (other.whole || other.band >= band)) {
        kept += 1;
        continue;
      }
      const readMs = (estimate.inputTokens ?? 0) * prefillMsPerToken[work.kind[gpu]!]! * work.drag[gpu]!;
      const lastMs = Math.min(firstOutputDueAtMs(spec, ask.acceptedAtMs) - readMs, dueAtMs(spec, ask.acceptedAtMs) - estimate.durationMs);
      const untilMs = isOverdue ? Number.POSITIVE_INFINITY : lastMs;
      const missingMs = readMs - work.slackMs[gpu]!;
      if (untilMs >= nowMs + LEAST_KEPT_MS && (!best || missingMs < best.missingMs)) best = { gpu, missingMs, untilMs };
    }
    if (!best || kept >= Math.max(1, eligible.length * KEPT_SHARE)) return;
    const lower = reservations.at(best.gpu);
    if (lower) reservations.remove(lower);
    reservations.add({ requestId: spec.requestId, band, gpus: [best.gpu], whole: false, startAtMs: best.untilMs });
  }

  /** Keeps `gpus` for a request from now on. Nobody who comes before it may have them kept. */
  claim({ spec, band, nowMs }: Ask, gpus: readonly number[]): void {
    const { reservations } = this.#state.fleet;
    for (const before of [reservations.of(spec.requestId), ...gpus.map((gpu) => reservations.at(gpu))]) if (before) this.#drop(before);
    reservations.add({ requestId: spec.requestId, band, gpus, whole: true, startAtMs: nowMs });
  }

  #stillPossible({ gpus }: Reservation, ask: Ask): boolean {
    const eligible = new Set(this.#scheduler.eligible(this.#state.fleet, ask));
    return gpus.every((gpu) => eligible.has(gpu));
  }

  #drop(reservation: Reservation): void {
    const { fleet } = this.#state;
    fleet.reservations.remove(reservation);
    for (const gpu of reservation.gpus) fleet.refresh(gpu);
  }
}

/** Whether a GPU is kept for nobody who comes before. */
export function mayTake(fleet: Fleet, { spec, band }: Ask, gpu: number): boolean {
  const reservation = fleet.reservations.at(gpu);
  return !reservation || reservation.requestId === spec.requestId || reservation.band < band;
}
