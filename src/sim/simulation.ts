// The simulation: the production engine in virtual time. Arrivals go in as submits, its effects go to simulated nodes, what these do
// comes back as events. Nothing of the router is imitated but its clock and its disk. Here are the callers and the engine; the nodes and their
// network are simulated-fleet.ts.
import { Engine } from "../core/engine.js";
import type { Effect, Event } from "../core/events.js";
import type { GpuId, ModelId, RequestId, UserId } from "../core/model/ids.js";
import type { Priority, RequestSpec, Wishes } from "../core/model/request.js";
import { gpusOf, NO_WISHES } from "../core/model/request.js";
import { Agenda } from "./agenda.js";
import type { SimulatedRun } from "./result.js";
import { RunRecorder } from "./run-recorder.js";
import { SimulatedFleet, type SimulatedFleetOptions } from "./simulated-fleet.js";
import { SloBook } from "./slo-book.js";
import { sessionName, type Arrival, type Tenant, type Workload } from "./workload/arrival.js";

const TICK_MS = 100;
const NO_PAYLOAD = new Uint8Array();

export interface SimulationOptions extends SimulatedFleetOptions {
  readonly policy: string;
  readonly scenario: string;
  readonly load: number;
  readonly workload: Workload;
  /** How long after the last arrival the rest may still end, ms. */
  readonly drainMs: number;
  /** Whether callers tell how long answers are going to be. */
  readonly tellLengths: boolean;
  /** What else happens at the start, such as quotas that are set. */
  readonly atStart?: readonly Event[];
  /** Called about every simulated second with the share that is done, 0..1. */
  readonly onProgress?: (share: number) => void;
}

/** Runs to the end of the workload and its drain. Deterministic: same options, same run. */
export function simulate(options: SimulationOptions): SimulatedRun {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #engine: Engine;
  readonly #agenda = new Agenda();
  readonly #fleet: SimulatedFleet;
  readonly #arrivals: Iterator<Arrival>;
  #next: Arrival | null;
  readonly #rowOf = new Map<string, number>();
  readonly #arrivalOf = new Map<number, Arrival>();
  readonly #slos: SloBook;
  readonly #recorder: RunRecorder;
  #rows = 0;
  #live = 0;
  #events = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#engine = new Engine(options.settings);
    this.#recorder = new RunRecorder(options);
    this.#fleet = new SimulatedFleet(options, this.#agenda, this.#recorder, (event) => this.#step(event));
    this.#slos = new SloBook(options.workload.tenants, this.#fleet.kinds);
    this.#arrivals = options.workload.arrivals(options.seed)[Symbol.iterator]();
    this.#next = this.#draw();
  }

  run(): SimulatedRun {
    const startedAt = performance.now();
    this.#step({ kind: "take_over", epoch: 1 });
    for (const event of this.#options.atStart ?? []) this.#step(event);
    this.#fleet.connect();
    this.#agenda.at(TICK_MS, () => this.#tick());
    const { durationMs } = this.#options.workload;
    this.#fleet.planFailures(durationMs);
    const endMs = durationMs + this.#options.drainMs;
    for (;;) {
      const arrivesAtMs = this.#next?.atMs ?? Number.POSITIVE_INFINITY;
      if (this.#next && arrivesAtMs <= this.#agenda.nextAtMs) {
        if (arrivesAtMs > endMs) break;
        this.#agenda.nowMs = arrivesAtMs;
        this.#arrive(this.#next);
        this.#next = this.#draw();
        continue;
      }
      if (this.#agenda.nextAtMs > endMs || (this.#next === null && this.#live === 0)) break;
      this.#agenda.runNext();
    }
    return this.#recorder.finish(this.#nowMs, this.#fleet.busyMs(), performance.now() - startedAt, this.#events);
  }

  #draw(): Arrival | null {
    const { done, value } = this.#arrivals.next();
    return done === true ? null : value;
  }

  get #nowMs(): number {
    return this.#agenda.nowMs;
  }

  #step(event: Event): void {
    this.#events += 1;
    const step = this.#engine.step(event, this.#nowMs);
    for (const effect of step.effects) this.#perform(effect);
    for (const { request } of step.ended) {
      const { requestId } = request.spec;
      const row = this.#rowOf.get(requestId)!;
      this.#recorder.ended(row, request.phase, this.#nowMs, request.attempt);
      this.#recorder.judge(row, this.#slos.kept(this.#arrivalOf.get(row)!, this.#recorder.firstOutputAtMs(row), this.#nowMs));
      this.#slos.learn(this.#arrivalOf.get(row)!);
      this.#rowOf.delete(requestId);
      this.#arrivalOf.delete(row);
      this.#fleet.forget(row);
      this.#live -= 1;
    }
  }

  #arrive(arrival: Arrival): void {
    const row = this.#rows;
    this.#rows += 1;
    this.#live += 1;
    const tenant = this.#options.workload.tenants[arrival.tenant]!;
    const spec = this.#specOf(row, arrival, tenant);
    this.#rowOf.set(spec.requestId, row);
    this.#arrivalOf.set(row, arrival);
    this.#recorder.arrived(row, arrival);
    this.#step({ kind: "submit", spec });
    // A refusal is an end too.
    if (this.#engine.state.requests.has(spec.requestId) || !this.#rowOf.has(spec.requestId)) return;
    this.#recorder.ended(row, "failed", this.#nowMs, 0);
    this.#rowOf.delete(spec.requestId);
    this.#arrivalOf.delete(row);
    this.#live -= 1;
  }

  #specOf(row: number, arrival: Arrival, tenant: Tenant): RequestSpec {
    const wishes = this.#wishesOf(arrival, tenant);
    return {
      requestId: `r-${row}` as RequestId,
      userId: tenant.name as UserId,
      modelId: tenant.modelId as ModelId,
      type: tenant.type,
      priority: tenant.priority as Priority,
      requirements: {
        memoryMib: 0,
        computeUnits: 0,
        maxBatchSize: 0,
        expectedDurationMs: arrival.workMs,
        minComputeCapability: 0,
        inputTokens: arrival.inputTokens,
        outputTokens: this.#options.tellLengths ? arrival.outputTokens : 0,
      },
      timeoutMs: 0,
      callbackUrl: "",
      strategy: "",
      specificGpuId: "" as GpuId,
      idempotent: true,
      ...(wishes ? { wishes } : {}),
      payload: NO_PAYLOAD,
      contentHash: "",
    };
  }

  #wishesOf(arrival: Arrival, tenant: Tenant): Wishes | null {
    const slo = this.#slos.wish(arrival);
    if (!slo && arrival.prefixHashes.length === 0 && arrival.sessionKey === "" && arrival.gpus === 1 && arrival.workMs === 0) return null;
    return {
      ...NO_WISHES,
      firstOutputMs: slo ? slo.firstOutputMs : 0,
      totalMs: slo ? slo.totalMs : 0,
      sessionKey: arrival.sessionKey,
      prefixHashes: arrival.prefixHashes,
      gpus: arrival.gpus,
      preemptible: tenant.slo === null,
      checkpoint: arrival.workMs > 0,
    };
  }

  #tick(): void {
    this.#step({ kind: "tick" });
    this.#agenda.at(this.#nowMs + TICK_MS, () => this.#tick());
    this.#recorder.sample(this.#nowMs, this.#fleet.busyShare, this.#engine.state);
    this.#options.onProgress?.(Math.min(1, this.#nowMs / this.#options.workload.durationMs));
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case "dispatch": {
        const { requestId, modelId } = effect.request.spec;
        const row = this.#rowOf.get(requestId)!;
        const arrival = this.#arrivalOf.get(row)!;
        const { inputTokens, outputTokens, prefixHashes, workMs } = arrival;
        this.#fleet.dispatch(gpusOf(effect), { ref: { requestId, attempt: effect.attempt }, row, modelId, inputTokens, outputTokens, prefixHashes, session: sessionName(arrival), workMs });
        return;
      }
      case "cancel_attempt":
        this.#fleet.cancel(effect.nodeId, effect.ref);
        return;
      case "order_model":
        this.#fleet.order(effect.order);
        return;
      case "acknowledge":
      case "changed":
      case "health_changed":
        return;
    }
  }
}
