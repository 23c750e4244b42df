// The Xids of a node's GPUs in the kernel's log, as events of a probe. Used by nvidia-smi.ts, which knows where its GPUs sit.
import type { GpuProbeEvent } from "../probe.js";
import { readXidLine } from "../xid-line.js";
import { KernelLog, type KernelLogOptions } from "./kernel-log.js";

/** The same Xid of the same GPU is told once in this time, ms: a GPU in trouble may write hundreds a second. */
const SAME_AGAIN_AFTER_MS = 1_000;

export class XidLog {
  readonly #log: KernelLog;
  readonly #gpuAt: ReadonlyMap<string, string>;
  readonly #tell: (event: GpuProbeEvent) => void;
  /** When an Xid was last told, by GPU, number and words. Only of the last moment. */
  readonly #toldAtMs = new Map<string, number>();

  /** `gpuAt` has the id of the whole GPU by PCI address, as `pciBusIdOf` writes it. */
  constructor(options: KernelLogOptions, gpuAt: ReadonlyMap<string, string>, tell: (event: GpuProbeEvent) => void) {
    this.#gpuAt = gpuAt;
    this.#tell = tell;
    this.#log = new KernelLog(options, (line) => this.#read(line));
  }

  start(): Promise<void> {
    return this.#log.start();
  }

  close(): void {
    this.#log.close();
  }

  #read(line: string): void {
    const read = readXidLine(line);
    if (!read) return;
    const gpuId = this.#gpuAt.get(read.pciBusId);
    if (gpuId === undefined) return;
    const nowMs = performance.now();
    for (const [key, atMs] of this.#toldAtMs) if (nowMs - atMs >= SAME_AGAIN_AFTER_MS) this.#toldAtMs.delete(key);
    const key = `${gpuId} ${read.xid} ${read.detail}`;
    if (this.#toldAtMs.has(key)) return;
    this.#toldAtMs.set(key, nowMs);
    this.#tell({ kind: "xid", gpuId, xid: read.xid, detail: read.detail });
  }
}
