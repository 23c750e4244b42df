// Runs trials side by side in worker threads, or one after the other in this one. Which thread runs what changes nothing in the figures.
import { Worker } from "node:worker_threads";

import { assert } from "../lib/assert.js";
import { TrialRunner, type Trial, type TrialResult } from "./trial.js";
import type { WorkerAnswer } from "./trial-worker.js";
import { TraceError } from "./workload/trace-error.js";

/** What a trial is rejected with when the pool was closed before it was done. */
export class PoolClosed extends Error {
  override readonly name = "PoolClosed";
}

interface Task {
  readonly trial: Trial;
  readonly resolve: (result: TrialResult) => void;
  readonly reject: (error: Error) => void;
}

export interface PoolProgress {
  readonly done: number;
  readonly waiting: number;
  /** Shares of the trials under way, 0..1. */
  readonly running: readonly number[];
}

export class TrialPool {
  readonly #jobs: number;
  readonly #workerFile: URL;
  readonly #queue: Task[] = [];
  readonly #idle: Worker[] = [];
  /** By worker at work. */
  readonly #tasks = new Map<Worker, { readonly task: Task; share: number }>();
  readonly #inline = new TrialRunner();
  #inlineShare: number | null = null;
  #done = 0;
  #closed = false;

  /** `jobs` threads; 0 runs everything in this one, which blocks it. Tests give a worker file of their own. */
  constructor(jobs: number, workerFile = new URL("./trial-worker.js", import.meta.url)) {
    this.#jobs = jobs;
    this.#workerFile = workerFile;
  }

  /** Rejects with a `TraceError`, or `PoolClosed`. Trials begin in the order in which they are given. */
  run(trial: Trial): Promise<TrialResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new PoolClosed("the simulation was stopped"));
      this.#queue.push({ trial, resolve, reject });
      if (this.#jobs === 0) void this.#drain();
      else this.#start();
    });
  }

  progress(): PoolProgress {
    const running = [...this.#tasks.values()].map(({ share }) => share);
    if (this.#inlineShare !== null) running.push(this.#inlineShare);
    return { done: this.#done, waiting: this.#queue.length, running };
  }

  /** Stops what runs; what is not done is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    const open = [...this.#queue.splice(0), ...[...this.#tasks.values()].map(({ task }) => task)];
    const workers = [...this.#idle.splice(0), ...this.#tasks.keys()];
    this.#tasks.clear();
    for (const { reject } of open) reject(new PoolClosed("the simulation was stopped"));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #start(): void {
    while (this.#queue.length > 0 && (this.#idle.length > 0 || this.#tasks.size < this.#jobs)) {
      const worker = this.#idle.pop() ?? this.#hire();
      const task = this.#queue.shift();
      assert(task !== undefined, "there is a task");
      this.#tasks.set(worker, { task, share: 0 });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
      worker.postMessage(task.trial);
    }
  }

  #hire(): Worker {
    // Requests live for a moment of the run: a small young generation would copy them over and over.
    const worker = new Worker(this.#workerFile, { resourceLimits: { maxYoungGenerationSizeMb: 128 } });
    worker.on("message", (answer: WorkerAnswer) => {
      const current = this.#tasks.get(worker);
      if (!current) return;
      if (answer.kind === "progress") {
        current.share = answer.share;
        return;
      }
      this.#tasks.delete(worker);
      this.#idle.push(worker);
      this.#done += 1;
      if (answer.kind === "result") current.task.resolve(answer.result);
      else current.task.reject(answer.foreseen ? new TraceError(answer.message) : new Error(answer.message));
      this.#start();
    });
    worker.on("error", (error) => {
      const current = this.#tasks.get(worker);
      this.#tasks.delete(worker);
      current?.task.reject(error);
      this.#start();
    });
    return worker;
  }

  async #drain(): Promise<void> {
    if (this.#inlineShare !== null) return;
    this.#inlineShare = 0;
    for (let task = this.#queue.shift(); task; task = this.#queue.shift()) {
      // Lets Ctrl-C and the progress line in between runs.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#closed) {
        task.reject(new PoolClosed("the simulation was stopped"));
        continue;
      }
      try {
        task.resolve(await this.#inline.run(task.trial, (share) => (this.#inlineShare = share)));
      } catch (error) {
        task.reject(error instanceof Error ? error : new Error(String(error)));
      }
      this.#done += 1;
    }
    this.#inlineShare = null;
  }
}
