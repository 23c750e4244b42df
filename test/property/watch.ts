// What must be true of how an engine schedules, judged from its state before and after each step: nobody passes by who comes later, nothing
// waits that fits, no placement breaks a promise, the ledger holds what is placed.
import { assert } from "../../src/lib/assert.js";
import type { Event, Step } from "../../src/core/events.js";
import { isExclusive, wishesOf, type Request } from "../../src/core/model/request.js";
import type { EligibilityClass, Waiting } from "../../src/core/queue/waiting-queue.js";
import type { Record } from "../../src/core/records.js";
import type { Ask } from "../../src/core/scheduling/contract.js";
import { stateFilters } from "../../src/core/scheduling/registry.js";
import { Scheduler } from "../../src/core/scheduling/scheduler.js";
import type { CoreSettings } from "../../src/core/settings.js";
import type { State } from "../../src/core/state.js";

/** Predictions are compared to this, ms. */
const TOLERANCE_MS = 1e-3;
/** As many as the engine tries behind a head that fits nowhere. */
const LOOK_AHEAD = 6;

type Placed = Extract<Record, { kind: "placed" }>;

export class Watch {
  readonly #settings: CoreSettings;
  readonly #scheduler: Scheduler;
  /** Promises that held before the step: by GPU, the requests. */
  #kept: ReadonlyMap<number, ReadonlySet<string>> = new Map();
  #late: ReadonlySet<string> = new Set();
  /** Who could have gone at the last tick and did not. */
  #suspects: ReadonlySet<string> = new Set();
  /** Who came first of each class before the step: who has waited too long is noticed there. */
  #heads: ReadonlySet<string> = new Set();

  constructor(settings: CoreSettings) {
    this.#settings = settings;
    this.#scheduler = new Scheduler(settings, stateFilters(settings).length);
  }

  before({ fleet, requests, queue }: State, nowMs: number): void {
    this.#heads = new Set([...queue.heads()].map(({ spec }) => spec.requestId));
    this.#late = new Set([...requests.keys()].filter((requestId) => queue.get(requestId)?.late));
    // What time does to promises is not the fault of the step.
    fleet.work.follow(nowMs);
    const kept = new Map<number, Set<string>>();
    for (let gpu = 0; gpu < fleet.size; gpu += 1) {
      const holding = [...fleet.work.promises(gpu)].filter(({ slackMs }) => slackMs >= 0).map(({ requestId }) => requestId);
      if (holding.length > 0) kept.set(gpu, new Set(holding));
    }
    this.#kept = kept;
  }

  /** Says what happened that a run should have seen. */
  after(state: State, event: Event, step: Step, nowMs: number): readonly string[] {
    const placed = step.records.filter((record): record is Placed => record.kind === "placed");
    this.#judgeLedger(state);
    for (const record of placed) this.#judgeOrder(state, record, nowMs);
    // An end teaches rates, and with them changes what is predicted of all.
    if (event.kind === "submit" || event.kind === "tick" || event.kind === "cancel") for (const record of placed) this.#judgePromises(state, record, placed);
    if (event.kind === "tick") this.#judgeWaiting(state, nowMs);
    return [...placed.flatMap((record) => this.#tally(state, record)), ...[...state.queue.heads()].flatMap((head) => (head.spec.wishes && state.fleet.freed.size === 0 ? ["waits with a wish"] : []))];
  }

  #tally({ fleet, requests }: State, { requestId, gpuId }: Placed): string[] {
    const tallies: string[] = [];
    if (this.#late.has(requestId)) tallies.push("placed late");
    const gpu = fleet.indexOf(gpuId);
    if (this.#kept.has(gpu)) tallies.push("placed beside a promise");
    if (requests.has(requestId) && [...fleet.work.promises(gpu)].some((promise) => promise.requestId === requestId)) tallies.push("placed with a promise");
    return tallies;
  }

  #judgeLedger({ fleet, requests }: State): void {
    const held = new Map<number, { count: number; tokens: number }>();
    for (const request of requests.values()) {
      const { inputTokens = 0, outputTokens = 0 } = request.phase === "queued" ? {} : (request.decision?.estimate ?? {});
      if (inputTokens + outputTokens === 0 || request.gpuIds) continue;
      const gpu = fleet.indexOf(request.gpuId as never);
      const { count, tokens } = held.get(gpu) ?? { count: 0, tokens: 0 };
      held.set(gpu, { count: count + 1, tokens: tokens + inputTokens + outputTokens });
    }
    const { work } = fleet;
    for (let gpu = 0; gpu < fleet.size; gpu += 1) {
      assert(work.held[gpu] === (held.get(gpu)?.count ?? 0), "the work ledger holds what is placed");
      assert(work.held[gpu]! > 0 || (Math.abs(work.kvTokens[gpu]!) < 1e-6 && work.stepMs[gpu] === 0 && work.remainingTokens[gpu] === 0), "a GPU without work has nothing left to do");
      const sums = work.stepMs[gpu]! + work.stretch[gpu]! + work.prefillUntilMs[gpu]! + work.remainingTokens[gpu]! + work.kvTokens[gpu]!;
      assert(Number.isFinite(sums) && !Number.isNaN(work.slackMs[gpu]), "what is predicted can be calculated with");
    }
  }

  /** Nobody is passed by from a lower band who asks for nothing that any GPU with the model lacks. */
  #judgeOrder({ fleet, queue, requests }: State, { requestId, decision }: Placed, nowMs: number): void {
    const first = requests.get(requestId);
    if (!first || fleet.reservations.size > 0 || decision.estimate.outputTokens !== undefined || !this.#isPlain(first)) return;
    const band = this.#bandOf(first, nowMs);
    for (const other of requests.values()) {
      const waiting = queue.get(other.spec.requestId);
      if (!waiting || waiting.avoidGpuId !== "" || waiting.estimate.outputTokens !== undefined || waiting.estimate.memoryMib > 0 || !this.#isPlain(other)) continue;
      if (other.spec.modelId !== first.spec.modelId || other.spec.type !== first.spec.type) continue;
      const ofOther = this.#heads.has(other.spec.requestId) ? this.#bandOf(other, nowMs) : other.spec.priority;
      assert(ofOther <= band, `${other.spec.requestId} comes before ${requestId}, which was placed, and waits`);
    }
  }

  /** Of a request without tokens, which never is late. */
  #bandOf({ spec, acceptedAtMs }: Request, nowMs: number): number {
    return nowMs - acceptedAtMs > this.#settings.maxWaitMs ? Number.POSITIVE_INFINITY : spec.priority;
  }

  #isPlain({ spec }: Request): boolean {
    return spec.specificGpuId === "" && spec.requirements.minComputeCapability === 0 && wishesOf(spec).gpus === 1 && !isExclusive(spec, this.#settings.exclusiveTypes);
  }

  /** Only strategies that promise are held to it. */
  #judgePromises({ fleet }: State, { gpuId }: Placed, placed: readonly Placed[]): void {
    if (placed.some((record) => record.gpuId === gpuId && record.decision.strategy !== "hybrid")) return;
    const gpu = fleet.indexOf(gpuId);
    const kept = this.#kept.get(gpu);
    if (!kept) return;
    for (const { requestId, slackMs } of fleet.work.promises(gpu)) {
      // One that was lost and placed again in this step has broken its own.
      const anew = placed.some((record) => record.requestId === requestId);
      assert(slackMs >= -TOLERANCE_MS || anew || !kept.has(requestId), `${requestId} was pushed over its deadline by a placement on ${gpuId}`);
    }
  }

  /** After a tick all has been tried that time may have healed: neither a head nor those looked at behind it fit anywhere. */
  #judgeWaiting(state: State, nowMs: number): void {
    const suspects = new Set<string>();
    this.#lookFor(suspects, state, nowMs);
    this.#suspects = suspects;
  }

  #lookFor(suspects: Set<string>, state: State, nowMs: number): void {
    if (state.fleet.reservations.size > 0) return;
    const line = state.queue.line("all", nowMs);
    for (let of: EligibilityClass | undefined = line.pop()?.of; of; of = line.pop()?.of) {
      const { head } = of;
      if (head.estimate.outputTokens === undefined) continue;
      assert(head.late || !this.#scheduler.tooLate(state.fleet, this.#askOf(state, head, nowMs)), `${head.spec.requestId} cannot be in time any more and waits among those that can`);
      for (const waiting of [head, ...of.behind(LOOK_AHEAD)]) {
        // Who avoids a GPU may have it when there is no other: that can come true by others being taken.
        if (waiting.avoidGpuId !== "") continue;
        const choice = this.#scheduler.choose(state.fleet, this.#askOf(state, waiting, nowMs));
        if (choice === null) continue;
        // What the pass of this tick placed after it may have changed what GPUs promise: by the next tick it must have gone.
        suspects.add(waiting.spec.requestId);
        assert(!this.#suspects.has(waiting.spec.requestId), `${waiting.spec.requestId} waits though a GPU could keep all promises with it`);
      }
    }
  }

  #askOf({ queue }: State, waiting: Waiting, nowMs: number): Ask {
    const { spec, estimate, avoidGpuId, acceptedAtMs, late, exclusive } = waiting;
    return { spec, estimate, avoidGpuId, seed: 1, acceptedAtMs, nowMs, late, gpus: wishesOf(spec).gpus, exclusive, band: queue.bandOf(waiting, nowMs), spread: 1 };
  }
}
