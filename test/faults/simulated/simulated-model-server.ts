// A runner of a simulated node that serves on one GPU what it was told to load. The work itself is simulated-work.ts's.
import type { Job, JobOutcome, JobSink, LoadableModel, ModelOrder, Runner, RunnerDescription } from "../../../src/agent/runners/runner.js";
import { unsuccessful } from "../../../src/agent/runners/outcome.js";
import type { Draw } from "./draw.js";
import type { SimulatedWork } from "./simulated-work.js";

/** What nobody serves until somebody has it loaded. */
export const LOADABLE_MODELS: readonly LoadableModel[] = ["j", "k", "l"].map((modelId) => ({ modelId, memoryMib: 1_500, loadMs: 400 }));

export class SimulatedModelServer implements Runner {
  readonly kind = "simulated";
  readonly name: string;
  readonly #gpuId: string;
  readonly #work: SimulatedWork;
  readonly #draw: Draw;
  readonly #onOrder: (order: ModelOrder) => void;
  readonly #models = new Set<string>();
  readonly #listeners = new Set<() => void>();

  constructor(gpuId: string, work: SimulatedWork, draw: Draw, onOrder: (order: ModelOrder) => void) {
    this.name = `models of ${gpuId}`;
    this.#gpuId = gpuId;
    this.#work = work;
    this.#draw = draw;
    this.#onOrder = onOrder;
  }

  get memoryMib(): number {
    return LOADABLE_MODELS.reduce((sum, { modelId, memoryMib }) => sum + (this.#models.has(modelId) ? memoryMib : 0), 0);
  }

  describe(): RunnerDescription {
    return { models: [...this.#models], types: ["inference"], gpuIds: [this.#gpuId], loadable: LOADABLE_MODELS };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  order(order: ModelOrder): void {
    this.#onOrder(order);
    if (order.action === "unload") this.#change(() => this.#models.delete(order.modelId));
    else setTimeout(() => this.#change(() => this.#models.add(order.modelId)), this.#draw.between(50, 1_000));
  }

  /** As somebody does by hand. */
  loadAll(): void {
    this.#change(() => {
      for (const { modelId } of LOADABLE_MODELS) this.#models.add(modelId);
    });
  }

  run(job: Job, sink: JobSink, limits: unknown, signal: AbortSignal): Promise<JobOutcome> {
    if (!this.#models.has(job.modelId)) return Promise.resolve(unsuccessful("unavailable", "no_model", "The model is not loaded.", { fault: "none" }));
    return this.#work.run(job, sink, limits, signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #change(change: () => void): void {
    const before = this.#models.size;
    change();
    if (this.#models.size === before) return;
    for (const listener of this.#listeners) listener();
  }
}
