// What really runs on the simulated GPUs, whatever the router believes.
import type { SimulatedProcess } from "./virtual-time.js";

export interface Execution {
  readonly requestId: string;
  readonly attempt: number;
  readonly nodeId: string;
  readonly gpuIds: readonly string[];
  readonly memoryMib: number;
  readonly mustNotRunTwice: boolean;
  /** Work stands still while its agent does: the whole machine is paused. */
  readonly process: SimulatedProcess;
}

export class Executions {
  readonly #live = new Set<Execution>();
  /** By request, how many have ended with a result. */
  readonly succeeded = new Map<string, number>();
  begun = 0;

  begin(execution: Execution): void {
    this.begun += 1;
    this.#live.add(execution);
  }

  end(execution: Execution, succeeded: boolean): void {
    if (!this.#live.delete(execution) || !succeeded) return;
    this.succeeded.set(execution.requestId, (this.succeeded.get(execution.requestId) ?? 0) + 1);
  }

  /** The process is gone, and its work with it. */
  processGone(process: SimulatedProcess): void {
    for (const execution of this.#live) if (execution.process === process) this.#live.delete(execution);
  }

  /** Those that make headway. In the instant in which a machine goes on nothing has: what waited for it to go on comes first. */
  running(nowMs: number): readonly Execution[] {
    return [...this.#live].filter(({ process }) => !process.paused && process.resumedAtMs < nowMs);
  }

  get size(): number {
    return this.#live.size;
  }

  on(gpuId: string): readonly Execution[] {
    return [...this.#live].filter(({ gpuIds }) => gpuIds.includes(gpuId));
  }
}
