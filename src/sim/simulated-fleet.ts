// The simulated nodes behind their network: takes what the router sends to agents and tells what agents tell, a while later. Part of
// simulation.ts. What one GPU does with its work is simulated-node.ts's.
import type { AttemptEnd, Event } from "../core/events.js";
import type { ModelOrder } from "../core/model/gpu.js";
import type { GpuId, NodeId } from "../core/model/ids.js";
import type { CoreSettings } from "../core/settings.js";
import { assert } from "../lib/assert.js";
import { hash32, seededRandom } from "../lib/random.js";
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { workSpeed } from "../simulated-gpu/service-times.js";
import type { Agenda } from "./agenda.js";
import type { SimulatedFaults } from "./faults.js";
import type { SimulatedNode } from "./fleets.js";
import type { RunRecorder } from "./run-recorder.js";
import { helloOf, runnersOf, SimulatedGpuWork, type SimulatedJob } from "./simulated-node.js";

/** One way between router and agent, and the agent's own work. */
const NETWORK_MS = 1;
const NO_RESULT = { result: new Uint8Array(), resultContentType: "" } as const;

export interface SimulatedFleetOptions {
  readonly seed: number;
  readonly settings: CoreSettings;
  readonly fleet: readonly SimulatedNode[];
  /** By GPU in the order of the fleet: what it holds at the start, and the request types it serves (any when empty). */
  readonly loaded: readonly (readonly string[])[];
  readonly types: readonly (readonly string[])[];
  /** All models of the scenario. */
  readonly models: readonly string[];
  readonly modelLoadSpeed: number;
  /** Tokens that each GPU's prefix cache holds, such as Infinity for one that spills to the host; null for what its memory leaves. */
  readonly prefixCacheTokens: number | null;
  readonly faults: SimulatedFaults;
}

export class SimulatedFleet {
  readonly #options: SimulatedFleetOptions;
  readonly #agenda: Agenda;
  readonly #recorder: RunRecorder;
  readonly #tell: (event: Event) => void;
  readonly #gpus: SimulatedGpuWork[] = [];
  readonly #gpuOf = new Map<string, number>();
  readonly #nodeOf: SimulatedNode[] = [];
  /** Rising numbers: a wake-up that is not the newest of its GPU is void. */
  readonly #wakes: number[] = [];
  /** Of jobs on several GPUs: on how many they still run. */
  readonly #unfinished = new Map<number, number>();
  /** Of work that was stopped: what is left of it, on the reference kind, ms. */
  readonly #workLeftMs = new Map<number, number>();

  /** `tell` is told what reaches the router, when it does. */
  constructor(options: SimulatedFleetOptions, agenda: Agenda, recorder: RunRecorder, tell: (event: Event) => void) {
    this.#options = options;
    this.#agenda = agenda;
    this.#recorder = recorder;
    this.#tell = tell;
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
  }

  get kinds(): readonly GpuKind[] {
    return this.#gpus.map(({ options: { kind } }) => kind);
  }

  /** Share of GPUs that compute, 0..1. */
  get busyShare(): number {
    return this.#gpus.reduce((sum, { engine }) => sum + (engine.running > 0 ? 1 : 0), 0) / this.#gpus.length;
  }

  /** Time that each GPU has computed up to now, ms. */
  busyMs(): readonly number[] {
    return this.#gpus.map((gpu) => gpu.engine.busyMs(this.#agenda.nowMs));
  }

  /** All agents say hello, and begin to send telemetry. */
  connect(): void {
    for (const node of this.#options.fleet) {
      this.#tell(helloOf(node, node.gpus.map(({ gpuId }) => this.#gpu(gpuId)), 0));
      this.#agenda.at(0, () => this.#telemetry(node));
    }
  }

  /** GPUs break in the course of `durationMs`. */
  planFailures(durationMs: number): void {
    const { gpuFailures, brokenMs } = this.#options.faults;
    const random = seededRandom(this.#options.seed ^ 0x6661696c);
    /** By GPU; one may break again while it is broken. */
    const untilMs = new Map<number, number>();
    for (let failure = 0; failure < gpuFailures; failure += 1) {
      const gpu = Math.floor(random() * this.#gpus.length);
      this.#agenda.at(((failure + 1) * durationMs) / (gpuFailures + 1), () => {
        const work = this.#gpus[gpu]!;
        work.breakDown(this.#agenda.nowMs);
        this.#wake(gpu);
        const { nodeId } = this.#nodeOf[gpu]!;
        this.#tell({ kind: "gpu_lost", nodeId: nodeId as NodeId, gpuId: work.options.gpuId as GpuId, reason: "simulated failure" });
        const wellAtMs = this.#agenda.nowMs + brokenMs;
        untilMs.set(gpu, wellAtMs);
        this.#agenda.at(wellAtMs, () => {
          if (untilMs.get(gpu) === wellAtMs) work.broken = false;
        });
      });
    }
  }

  /** A job is on its way to its GPUs, which are of one node. `workMs` is what all of it takes on the reference kind. */
  dispatch(gpuIds: readonly GpuId[], job: SimulatedJob): void {
    const { row } = job;
    const gpus = gpuIds.map((gpuId) => this.#gpuOf.get(gpuId)!);
    const gpu = gpus[0]!;
    this.#recorder.placed(row, this.#agenda.nowMs, gpu);
    const workMs = job.workMs === 0 ? 0 : (this.#workLeftMs.get(row) ?? job.workMs) / workSpeed(this.#gpus[gpu]!.options.kind);
    this.#agenda.at(this.#agenda.nowMs + NETWORK_MS, () => this.#begin(gpus, { ...job, workMs }));
  }

  cancel(nodeId: NodeId, ref: SimulatedJob["ref"]): void {
    this.#agenda.at(this.#agenda.nowMs + NETWORK_MS, () => this.#cancel(nodeId, ref));
  }

  order(order: ModelOrder): void {
    const gpu = this.#gpuOf.get(order.runner.slice("simulated-".length))!;
    this.#agenda.at(this.#agenda.nowMs + NETWORK_MS, () => {
      this.#gpus[gpu]!.order(order, this.#agenda.nowMs);
      this.#runnersChanged(gpu);
      this.#wake(gpu);
    });
  }

  /** A request has ended: what was left of it does not matter any more. */
  forget(row: number): void {
    this.#workLeftMs.delete(row);
  }

  #gpu(gpuId: string): SimulatedGpuWork {
    return this.#gpus[this.#gpuOf.get(gpuId)!]!;
  }

  #telemetry(node: SimulatedNode): void {
    // One that is broken says nothing.
    const samples = node.gpus.filter(({ gpuId }) => !this.#gpu(gpuId).broken).map(({ gpuId }) => ({ sample: this.#gpu(gpuId).telemetry(this.#agenda.nowMs), ageMs: 0 }));
    this.#tell({ kind: "telemetry", nodeId: node.nodeId as NodeId, samples });
    this.#agenda.at(this.#agenda.nowMs + this.#options.settings.telemetryIntervalMs, () => this.#telemetry(node));
  }

  /** On all of its GPUs, or on none. */
  #begin(gpus: readonly number[], job: SimulatedJob): void {
    const nodeId = this.#nodeOf[gpus[0]!]!.nodeId as NodeId;
    const begun = gpus.filter((gpu) => this.#gpus[gpu]!.begin(job, this.#agenda.nowMs, this.#recorder));
    if (begun.length === gpus.length) {
      if (gpus.length > 1) this.#unfinished.set(job.row, gpus.length);
      this.#tell({ kind: "attempt_started", nodeId, ref: job.ref });
      for (const gpu of gpus) this.#wake(gpu);
      return;
    }
    for (const gpu of begun) this.#gpus[gpu]!.cancel(job.ref.requestId, this.#agenda.nowMs);
    this.#ended(nodeId, job, { outcome: "unavailable", error: { code: "model_not_loaded", message: "The model is not loaded." }, ...NO_RESULT, statistics: null });
  }

  /** On all GPUs of the node that have it. What was left goes on from there when it is begun again: all other work saves nothing. */
  #cancel(nodeId: NodeId, ref: SimulatedJob["ref"]): void {
    let last: SimulatedJob | null = null;
    let leftMs = 0;
    for (const { gpuId, kind } of this.#options.fleet.find((node) => node.nodeId === nodeId)!.gpus) {
      const gpu = this.#gpuOf.get(gpuId)!;
      const job = this.#gpus[gpu]!.cancel(ref.requestId, this.#agenda.nowMs);
      if (!job) continue;
      last = job;
      leftMs = Math.max(leftMs, job.workMs * workSpeed(kind as GpuKind));
      this.#wake(gpu);
    }
    if (!last) return;
    this.#unfinished.delete(last.row);
    if (leftMs > 0) this.#workLeftMs.set(last.row, leftMs);
    this.#ended(nodeId, last, { outcome: "cancelled", error: { code: "cancelled", message: "Cancelled." }, ...NO_RESULT, statistics: null });
  }

  #ended(nodeId: NodeId, { ref }: SimulatedJob, end: AttemptEnd): void {
    this.#agenda.at(this.#agenda.nowMs + NETWORK_MS, () => this.#tell({ kind: "attempt_ended", nodeId, ref, end }));
  }

  #wake(gpu: number): void {
    const atMs = this.#gpus[gpu]!.nextAtMs();
    const wake = (this.#wakes[gpu]! += 1);
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#agenda.at(Math.max(this.#agenda.nowMs, atMs), () => {
      if (this.#wakes[gpu] === wake) this.#advance(gpu);
    });
  }

  #advance(gpu: number): void {
    const work = this.#gpus[gpu]!;
    const { events, changed } = work.advance(this.#agenda.nowMs);
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
      reload = work.ended(job, this.#agenda.nowMs) || reload;
      // Done when done on all of its GPUs.
      const others = (this.#unfinished.get(job.row) ?? 1) - 1;
      if (others > 0) {
        this.#unfinished.set(job.row, others);
        continue;
      }
      this.#unfinished.delete(job.row);
      const firstOutputMs = Number.isNaN(job.firstOutputAtMs) ? 0 : job.firstOutputAtMs - job.startedAtMs;
      if (this.#fails(gpu, job)) {
        this.#ended(this.#nodeOf[gpu]!.nodeId as NodeId, job, { outcome: "unavailable", error: { code: "simulated_fault", message: "A fault of its GPU." }, ...NO_RESULT, statistics: null });
        continue;
      }
      const statistics = { runMs: atMs - job.startedAtMs, firstOutputMs, inputTokens: job.inputTokens, outputTokens: job.outputTokens, peakMemoryMib: 0 };
      this.#ended(this.#nodeOf[gpu]!.nodeId as NodeId, job, { outcome: "succeeded", error: null, ...NO_RESULT, statistics });
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
    const runners = runnersOf(node.gpus.map(({ gpuId }) => this.#gpu(gpuId)), this.#agenda.nowMs);
    this.#agenda.at(this.#agenda.nowMs + NETWORK_MS, () => this.#tell({ kind: "runners_changed", nodeId: node.nodeId as NodeId, runners }));
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
