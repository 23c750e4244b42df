// What happens to simulated GPUs on command: each line appended to a file is an event of one of them, so that a test can have a real
// agent report an Xid error. Used by `simulated.ts`, configured as `probe.simulated.events_file`.
import { closeSync, openSync, readSync, watch, type FSWatcher } from "node:fs";
import type { GpuProbeEvent, ProbedGpu } from "./probe.js";

/** What one look reads at most, bytes; the rest is read by the next. */
const MAX_READ_BYTES = 64 * 1024;

export class SimulatedEvents {
  readonly #file: string;
  readonly #descriptor: number;
  readonly #watcher: FSWatcher;
  readonly #gpus: readonly ProbedGpu[];
  readonly #listeners = new Set<(event: GpuProbeEvent) => void>();
  readonly #buffer = Buffer.alloc(MAX_READ_BYTES);
  #partial = "";
  #line = 0;

  /** What is in `file` already has happened before. It is made when it is not there; throws when that cannot be. */
  constructor(file: string, gpus: readonly ProbedGpu[]) {
    this.#file = file;
    this.#gpus = gpus;
    this.#descriptor = openSync(file, "a+");
    this.#read(() => {});
    this.#watcher = watch(file, () => this.#read((event) => this.#listeners.forEach((listener) => listener(event))));
    this.#watcher.unref();
  }

  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#watcher.close();
    closeSync(this.#descriptor);
  }

  /** Throws at a line that is no event: whoever wrote it waits for what will not come. */
  #read(tell: (event: GpuProbeEvent) => void): void {
    for (let length = -1; length !== 0; ) {
      length = readSync(this.#descriptor, this.#buffer, 0, MAX_READ_BYTES, null);
      const lines = (this.#partial + this.#buffer.toString("utf8", 0, length)).split("\n");
      this.#partial = lines.pop() ?? "";
      for (const line of lines) {
        this.#line += 1;
        const event = eventOf(line, this.#gpus);
        if (event === null) throw new Error(`${this.#file}, line ${this.#line}: expected "GPU xid NUMBER" or "GPU lost REASON", GPU an index below ${this.#gpus.length}; it is "${line}".`);
        tell(event);
      }
    }
  }
}

/** Such as "0 xid 79" or "3 lost it was taken out". null for anything else. */
export function eventOf(line: string, gpus: readonly ProbedGpu[]): GpuProbeEvent | null {
  const [, index = "", kind = "", value = ""] = /^(\d+) (xid|lost) (.+)$/.exec(line) ?? [];
  const gpu = index === "" ? undefined : gpus[Number(index)];
  if (gpu === undefined) return null;
  if (kind === "lost") return { kind: "lost", gpuId: gpu.gpuId, reason: value };
  return /^\d{1,5}$/.test(value) ? { kind: "xid", gpuId: gpu.gpuId, xid: Number(value) } : null;
}
