// The simulation: the production engine in virtual time. Arrivals go in as submits, its effects go to simulated nodes, what these do
// comes back as events; a network takes a while both ways. Nothing of the router is imitated but its clock and its disk.
import { Engine } from "../core/engine.js";
import type { AttemptEnd, Effect, Event } from "../core/events.js";
import type { GpuId, ModelId, NodeId, RequestId, UserId } from "../core/model/ids.js";
import type { Priority, RequestSpec, Wishes } from "../core/model/request.js";
import { gpusOf, NO_WISHES } from "../core/model/request.js";
import type { CoreSettings } from "../core/settings.js";
import { assert } from "../lib/assert.js";
import { Heap } from "../lib/heap.js";
import { hash32, seededRandom } from "../lib/random.js";
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import type { SimulatedNode } from "./fleets.js";
import type { SimulatedRun } from "./result.js";
import { RunRecorder } from "./run-recorder.js";
import { SloBook } from "./slo-book.js";
import { helloOf, runnersOf, SimulatedGpuWork, workSpeed, type SimulatedJob } from "./simulated-node.js";
import { sessionName, type Arrival, type Tenant, type Workload } from "./workload/arrival.js";

const TICK_MS = 100;
/** One way between router and agent, and the agent's own work. */
const NETWORK_MS = 1;
const NO_PAYLOAD = new Uint8Array();

/** What goes wrong. */
export interface SimulatedFaults {
  /** Share of GPUs that take `slowdown` times as long, which nobody is told. */
  readonly stragglers: number;
  readonly slowdown: number;
  /** GPUs that break, one after the other at even distances, and work again `brokenMs` later. */
  readonly gpuFailures: number;
  readonly brokenMs: number;
  /** On so many GPUs, the last of the fleet, this share of attempts fails at its end, which nobody is told before. None when left out. */
  readonly flaky?: { readonly gpus: number; readonly errorRate: number };
}

export const NO_FAULTS: SimulatedFaults = { stragglers: 0, slowdown: 1, gpuFailures: 0, brokenMs: 0 };

export interface SimulationOptions {
  readonly policy: string;
  readonly scenario: string;
  readonly load: number;
  readonly seed: number;
  readonly settings: CoreSettings;
  readonly fleet: readonly SimulatedNode[];
  readonly workload: Workload;
  /** By GPU in the order of the fleet: what it holds at the start, and the request types it serves (any when empty). */
  readonly loaded: readonly (readonly string[])[];
  readonly types: readonly (readonly string[])[];
  /** All models of the scenario. */
  readonly models: readonly string[];
  readonly modelLoadSpeed: number;
  /** Tokens that each GPU's prefix cache holds, such as Infinity for one that spills to the host; null for what its memory leaves. */
  readonly prefixCacheTokens: number | null;
  readonly faults: SimulatedFaults;
  /** How long after the last arrival the rest may still end, ms. */
  readonly drainMs: number;
  /** Whether callers tell how long answers are going to be. */
  readonly tellLengths: boolean;
  /** What else happens at the start, such as quotas that are set. */
  readonly atStart?: readonly Event[];
  /** Called about every simulated second with the share that is done, 0..1. */
  readonly onProgress?: (share: number) => void;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Runs to the end of the workload and its drain. Deterministic: same options, same run. */
export function simulate(options: SimulationOptions): SimulatedRun {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #engine: Engine;
  readonly #gpus: SimulatedGpuWork[] = [];
  readonly #gpuOf = new Map<string, number>();
  readonly #nodeOf: SimulatedNode[] = [];
  /** Rising numbers: a wake-up that is not the newest of its GPU is void. */
  readonly #wakes: number[] = [];
  readonly #due = new Heap<Due>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  readonly #arrivals: Iterator<Arrival>;
  #next: Arrival | null;
  readonly #rowOf = new Map<string, number>();
  readonly #arrivalOf = new Map<number, Arrival>();
  /** Of jobs on several GPUs: on how many they still run. */
  readonly #unfinished = new Map<number, number>();
  /** Of work that was stopped: what is left of it, on the reference kind, ms. */
  readonly #workLeftMs = new Map<number, number>();
  readonly #slos: SloBook;
  readonly #recorder: RunRecorder;
  #order = 0;
  #nowMs = 0;
  #rows = 0;
  #live = 0;
  #events = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#engine = new Engine(options.settings);
    const stragglers = drawn(options.fleet.flatMap(({ gpus }) => gpus).length, options.faults.stragglers, options.seed);
    for (const node of options.fleet) {
      for (const { gpuId, kind } of node.gpus) {
        const index = this.#gpus.length;
        this.#gpuOf.set(gpuId, index);
        this.#nodeOf.push(node);
        this.#wakes.push(0);
        this.#gpus.push(
          new SimulatedGpuWork({
            gpuId,
            kind: kind as GpuKind,
            slowdown: stragglers.has(index) ? options.faults.slowdown : 1,
            types: options.types[index] ?? [],
            models: options.models,
            loaded: options.loaded[index] ?? [],
            prefixCacheTokens: options.prefixCacheTokens,
            loadSpeed: options.modelLoadSpeed,
          }),
        );
      }
    }
    this.#slos = new SloBook(options.workload.tenants, this.#gpus.map(({ options: { kind } }) => kind));
    this.#recorder = new RunRecorder(options);
    this.#arrivals = options.workload.arrivals(options.seed)[Symbol.iterator]();
    this.#next = this.#draw();
  }

  run(): SimulatedRun {
    const startedAt = performance.now();
    this.#step({ kind: "take_over", epoch: 1 });
    for (const event of this.#options.atStart ?? []) this.#step(event);
    for (const node of this.#options.fleet) {
      this.#step(helloOf(node, node.gpus.map(({ gpuId }) => this.#gpu(gpuId)), 0));
      this.#at(0, () => this.#telemetry(node));
    }
    this.#at(TICK_MS, () => this.#tick());
    this.#planFailures();
    const endMs = this.#options.workload.durationMs + this.#options.drainMs;
    for (;;) {
      const due = this.#due.first;
      const arrivesAtMs = this.#next?.atMs ?? Number.POSITIVE_INFINITY;
      if (this.#next && arrivesAtMs <= (due?.atMs ?? Number.POSITIVE_INFINITY)) {
        if (arrivesAtMs > endMs) break;
        this.#nowMs = arrivesAtMs;
        this.#arrive(this.#next);
        this.#next = this.#draw();
        continue;
      }
      if (!due || due.atMs > endMs || (this.#next === null && this.#live === 0)) break;
      this.#due.pop();
      this.#nowMs = due.atMs;
      due.run();
    }
    return this.#recorder.finish(this.#nowMs, this.#gpus.map((gpu) => gpu.engine.busyMs(this.#nowMs)), performance.now() - startedAt, this.#events);
  }

  #draw(): Arrival | null {
    const { done, value } = this.#arrivals.next();
    return done === true ? null : value;
  }

  #at(atMs: number, run: () => void): void {
    this.#order += 1;
    this.#due.push({ atMs, order: this.#order, run });
  }

  #gpu(gpuId: string): SimulatedGpuWork {
    return this.#gpus[this.#gpuOf.get(gpuId)!]!;
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
      this.#workLeftMs.delete(row);
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
    this.#at(this.#nowMs + TICK_MS, () => this.#tick());
    const busy = this.#gpus.reduce((sum, { engine }) => sum + (engine.running > 0 ? 1 : 0), 0);
    this.#recorder.sample(this.#nowMs, busy / this.#gpus.length, this.#engine.state);
    this.#options.onProgress?.(Math.min(1, this.#nowMs / this.#options.workload.durationMs));
  }

  #telemetry(node: SimulatedNode): void {
    // One that is broken says nothing.
    const samples = node.gpus.filter(({ gpuId }) => !this.#gpu(gpuId).broken).map(({ gpuId }) => ({ sample: this.#gpu(gpuId).telemetry(this.#nowMs), ageMs: 0 }));
    this.#step({ kind: "telemetry", nodeId: node.nodeId as NodeId, samples });
    this.#at(this.#nowMs + this.#options.settings.telemetryIntervalMs, () => this.#telemetry(node));
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case "dispatch": {
        const row = this.#rowOf.get(effect.request.spec.requestId)!;
        const gpus = gpusOf(effect).map((gpuId) => this.#gpuOf.get(gpuId)!);
        const gpu = gpus[0]!;
        const arrival = this.#arrivalOf.get(row)!;
        this.#recorder.placed(row, this.#nowMs, gpu);
        const { requestId, modelId } = effect.request.spec;
        const { inputTokens, outputTokens, prefixHashes } = arrival;
        const workMs = arrival.workMs === 0 ? 0 : (this.#workLeftMs.get(row) ?? arrival.workMs) / workSpeed(this.#gpus[gpu]!.options.kind);
        const job: SimulatedJob = { ref: { requestId, attempt: effect.attempt }, row, modelId, inputTokens, outputTokens, prefixHashes, session: sessionName(arrival), workMs };
        this.#at(this.#nowMs + NETWORK_MS, () => this.#begin(gpus, job));
        return;
      }
      case "cancel_attempt": {
        this.#at(this.#nowMs + NETWORK_MS, () => this.#cancel(effect.nodeId, effect.ref));
        return;
      }
      case "order_model": {
        const gpuId = effect.order.runner.slice("simulated-".length);
        this.#at(this.#nowMs + NETWORK_MS, () => {
          const gpu = this.#gpuOf.get(gpuId)!;
          this.#gpus[gpu]!.order(effect.order, this.#nowMs);
          this.#runnersChanged(gpu);
          this.#wake(gpu);
        });
        return;
      }
      case "acknowledge":
      case "changed":
      case "health_changed":
        return;
    }
  }

  /** On all of its GPUs, or on none. */
  #begin(gpus: readonly number[], job: SimulatedJob): void {
    const nodeId = this.#nodeOf[gpus[0]!]!.nodeId as NodeId;
    const begun = gpus.filter((gpu) => this.#gpus[gpu]!.begin(job, this.#nowMs, this.#recorder));
    if (begun.length === gpus.length) {
      if (gpus.length > 1) this.#unfinished.set(job.row, gpus.length);
      this.#step({ kind: "attempt_started", nodeId, ref: job.ref });
      for (const gpu of gpus) this.#wake(gpu);
      return;
    }
    for (const gpu of begun) this.#gpus[gpu]!.cancel(job.ref.requestId, this.#nowMs);
    this.#ended(nodeId, job, { outcome: "unavailable", error: { code: "model_not_loaded", message: "The model is not loaded." }, result: NO_PAYLOAD, resultContentType: "", statistics: null });
  }

  /** On all GPUs of the node that have it. What was left goes on from there when it is begun again: all other work saves nothing. */
  #cancel(nodeId: NodeId, ref: SimulatedJob["ref"]): void {
    let last: SimulatedJob | null = null;
    let leftMs = 0;
    for (const { gpuId, kind } of this.#options.fleet.find((node) => node.nodeId === nodeId)!.gpus) {
      const gpu = this.#gpuOf.get(gpuId)!;
      const job = this.#gpus[gpu]!.cancel(ref.requestId, this.#nowMs);
      if (!job) continue;
      last = job;
      leftMs = Math.max(leftMs, job.workMs * workSpeed(kind as GpuKind));
      this.#wake(gpu);
    }
    if (!last) return;
    this.#unfinished.delete(last.row);
    if (leftMs > 0) this.#workLeftMs.set(last.row, leftMs);
    this.#ended(nodeId, last, { outcome: "cancelled", error: { code: "cancelled", message: "Cancelled." }, result: NO_PAYLOAD, resultContentType: "", statistics: null });
  }

  #ended(nodeId: NodeId, { ref }: SimulatedJob, end: AttemptEnd): void {
    this.#at(this.#nowMs + NETWORK_MS, () => this.#step({ kind: "attempt_ended", nodeId, ref, end }));
  }

  #wake(gpu: number): void {
    const atMs = this.#gpus[gpu]!.nextAtMs();
    const wake = (this.#wakes[gpu]! += 1);
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#at(Math.max(this.#nowMs, atMs), () => {
      if (this.#wakes[gpu] === wake) this.#advance(gpu);
    });
  }

  #advance(gpu: number): void {
    const work = this.#gpus[gpu]!;
    const { events, changed } = work.advance(this.#nowMs);
    let reload = changed;
    for (const { id, kind, atMs } of events) {
      const job = work.jobs.get(id as number);
      if (!job) continue;
      if (kind === "started") continue;
      if (kind === "first_output") {
        job.firstOutputAtMs = atMs;
        this.#recorder.firstOutput(job.row, atMs);
        continue;
      }
      reload = work.ended(job, this.#nowMs) || reload;
      // Done when done on all of its GPUs.
      const others = (this.#unfinished.get(job.row) ?? 1) - 1;
      if (others > 0) {
        this.#unfinished.set(job.row, others);
        continue;
      }
      this.#unfinished.delete(job.row);
      const firstOutputMs = Number.isNaN(job.firstOutputAtMs) ? 0 : job.firstOutputAtMs - job.startedAtMs;
      if (this.#fails(gpu, job)) {
        this.#ended(this.#nodeOf[gpu]!.nodeId as NodeId, job, { outcome: "unavailable", error: { code: "simulated_fault", message: "A fault of its GPU." }, result: NO_PAYLOAD, resultContentType: "", statistics: null });
        continue;
      }
      const statistics = { runMs: atMs - job.startedAtMs, firstOutputMs, inputTokens: job.inputTokens, outputTokens: job.outputTokens, peakMemoryMib: 0 };
      this.#ended(this.#nodeOf[gpu]!.nodeId as NodeId, job, { outcome: "succeeded", error: null, result: NO_PAYLOAD, resultContentType: "", statistics });
    }
    if (reload) this.#runnersChanged(gpu);
    this.#wake(gpu);
  }

  #fails(gpu: number, { row, ref }: SimulatedJob): boolean {
    const { flaky } = this.#options.faults;
    if (!flaky || gpu < this.#gpus.length - flaky.gpus) return false;
    return seededRandom(hash32(`${this.#options.seed}/${row}/${ref.attempt}`))() < flaky.errorRate;
  }

  #runnersChanged(gpu: number): void {
    const node = this.#nodeOf[gpu]!;
    const runners = runnersOf(node.gpus.map(({ gpuId }) => this.#gpu(gpuId)), this.#nowMs);
    this.#at(this.#nowMs + NETWORK_MS, () => this.#step({ kind: "runners_changed", nodeId: node.nodeId as NodeId, runners }));
  }

  #planFailures(): void {
    const { gpuFailures, brokenMs } = this.#options.faults;
    const random = seededRandom(this.#options.seed ^ 0x6661696c);
    for (let failure = 0; failure < gpuFailures; failure += 1) {
      const gpu = Math.floor(random() * this.#gpus.length);
      this.#at(((failure + 1) * this.#options.workload.durationMs) / (gpuFailures + 1), () => {
        const work = this.#gpus[gpu]!;
        work.breakDown(this.#nowMs);
        this.#wake(gpu);
        const { nodeId } = this.#nodeOf[gpu]!;
        this.#step({ kind: "gpu_lost", nodeId: nodeId as NodeId, gpuId: work.options.gpuId as GpuId, reason: "simulated failure" });
        this.#at(this.#nowMs + brokenMs, () => {
          work.broken = false;
        });
      });
    }
  }
}

/** Indexes by lot: `share` of `count`, rounded. */
function drawn(count: number, share: number, seed: number): Set<number> {
  const wanted = Math.round(count * share);
  assert(wanted <= count, "a share is at most 1");
  const random = seededRandom(seed ^ 0x736c6f77);
  const chosen = new Set<number>();
  while (chosen.size < wanted) chosen.add(Math.floor(random() * count));
  return chosen;
}
