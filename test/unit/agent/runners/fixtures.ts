// A job and a sink for the tests of runners.
import type { Guard } from "../../../../src/agent/runners/exec/process-guard.js";
import type { Job, JobSink } from "../../../../src/agent/runners/runner.js";

/** A job with the given fields and plain values for the rest. */
export function aJob(fields: Partial<Job> = {}): Job {
  return {
    requestId: "request-1",
    attempt: 1,
    continues: false,
    gpuIds: ["GPU-00000000-0000-0000-0000-000000000001"],
    modelId: "m",
    type: "inference",
    userId: "u",
    payload: new Uint8Array(),
    timeLeftMs: 0,
    inputTokens: 0,
    outputTokens: 0,
    memoryMib: 0,
    expectedDurationMs: 0,
    mustNotRunTwice: false,
    ...fields,
  };
}

/** For runners that nobody kills. */
export const NO_GUARD: Guard = { add: () => {}, remove: () => {}, leaseUntil: () => {}, leaseIsOut: false };

/** A payload of JSON. */
export function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Remembers what it was told, and lets a test wait for it. */
export class RecordingSink implements JobSink {
  starts = 0;
  readonly progresses: [number, string][] = [];
  readonly outputs: Uint8Array[] = [];
  readonly #waiting = new Set<() => void>();

  started(): void {
    this.starts += 1;
    this.#told();
  }

  progress(fraction: number, message: string): void {
    this.progresses.push([fraction, message]);
    this.#told();
  }

  output(data: Uint8Array): void {
    this.outputs.push(Buffer.from(data));
    this.#told();
  }

  get text(): string {
    return Buffer.concat(this.outputs).toString("utf8");
  }

  /** Resolves as soon as `condition` holds after something was told; the test's own time-out bounds it. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #told(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
