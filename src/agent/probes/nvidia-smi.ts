// The probe that asks the program nvidia-smi: the fallback where NVML cannot be loaded. Made by `index.ts`.
// Slower than NVML (tens of ms to seconds an answer) and blind to Xid events, which it takes from the kernel's log where that may be read;
// what a GPU says is the same.
import { execFile, type ChildProcess } from "node:child_process";
import type { GpuReading } from "./gpu-reading.js";
import type { GpuProbeEvent, GpuSample, Probe, ProbedGpu } from "./probe.js";
import type { KernelLogOptions } from "./kernel-log/kernel-log.js";
import { XidLog } from "./kernel-log/xid-log.js";
import { readPciBusIds, readSmiDocument } from "./smi-document.js";
import { SmiListing } from "./smi-listing.js";

export interface NvidiaSmiOptions {
  /** The program; "nvidia-smi" on the PATH by default. */
  readonly command?: string;
  /** How long one call may take, ms. 15 s by default: without persistence mode the driver loads first. */
  readonly timeoutMs?: number;
  /** Where Xids are read; they are not when it is left out. */
  readonly kernelLog?: KernelLogOptions;
}

const MAX_OUTPUT_BYTES = 32 * 1024 * 1024;
/** A process that hangs in the driver may not even end when it is killed; with so many of them, no more are started. */
const MAX_STUCK = 3;

export class NvidiaSmiProbe implements Probe {
  readonly kind = "nvidia-smi";
  readonly #command: string;
  readonly #timeoutMs: number;
  readonly #kernelLog: KernelLogOptions | undefined;
  #xids: XidLog | undefined;
  readonly #listeners = new Set<(event: GpuProbeEvent) => void>();
  readonly #running = new Set<ChildProcess>();
  #closed = false;
  /** GPUs that were there at the start, and whether they answered last. */
  readonly #answering = new Map<string, boolean>();
  #listing: SmiListing | undefined;
  #computeCapabilities: ReadonlyMap<string, string> = new Map();
  #stuck = 0;
  #sampling: Promise<readonly GpuSample[]> | undefined;

  constructor({ command = "nvidia-smi", timeoutMs = 15_000, kernelLog }: NvidiaSmiOptions = {}) {
    this.#command = command;
    this.#timeoutMs = timeoutMs;
    this.#kernelLog = kernelLog;
  }

  async inventory(): Promise<readonly ProbedGpu[]> {
    // Both are extras: old drivers know no compute_cap, and without MIG the listing says nothing new.
    this.#listing = new SmiListing(await this.#ask("-L").catch(() => ""));
    const capabilities = await this.#ask("--query-gpu=uuid,compute_cap", "--format=csv,noheader").catch(() => "");
    this.#computeCapabilities = new Map([...capabilities.matchAll(/^(GPU-\S+), (\d+\.\d+)\s*$/gm)].map(([, uuid = "", version = ""]) => [uuid, version]));
    const xml = await this.#ask("-q", "-x");
    const gpus = this.#readings(xml).filter(({ sample }) => sample !== undefined).map(({ gpu }) => gpu);
    if (gpus.length === 0) throw new Error(`${this.#command} works, but shows no GPU that answers. See what \`${this.#command}\` prints.`);
    for (const { gpuId } of gpus) this.#answering.set(gpuId, true);
    if (this.#kernelLog && !this.#xids) {
      this.#xids = new XidLog(this.#kernelLog, readPciBusIds(xml), (event) => this.#tell(event));
      await this.#xids.start();
    }
    return gpus;
  }

  /** While one is under way, the same one. */
  sample(): Promise<readonly GpuSample[]> {
    this.#sampling ??= this.#sample().finally(() => {
      this.#sampling = undefined;
    });
    return this.#sampling;
  }

  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#xids?.close();
    for (const child of this.#running) child.kill("SIGKILL");
  }

  async #sample(): Promise<readonly GpuSample[]> {
    const readings = this.#readings(await this.#ask("-q", "-x"));
    for (const [gpuId, answered] of this.#answering) {
      const reading = readings.find(({ gpu }) => gpu.gpuId === gpuId);
      const answers = reading?.sample !== undefined;
      this.#answering.set(gpuId, answers);
      if (!answered && answers) this.#tell({ kind: "restored", gpuId, reason: "it answers again" });
      if (!answered || answers) continue;
      const reason = reading ? `nvidia-smi says: ${reading.lost}` : "nvidia-smi no longer shows it";
      this.#tell({ kind: "lost", gpuId, reason });
    }
    return readings.flatMap(({ sample }) => sample ?? []);
  }

  #tell(event: GpuProbeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #readings(xml: string): readonly GpuReading[] {
    const supplement = { computeCapabilities: this.#computeCapabilities, ...(this.#listing && { listing: this.#listing }) };
    return readSmiDocument(xml, supplement);
  }

  #ask(...args: readonly string[]): Promise<string> {
    const run = `${this.#command} ${args.join(" ")}`;
    const hangs = 'The driver may hang: look for "NVRM: Xid" in the kernel log.';
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new Error(`${run}: not started, since the probe is closed.`);
      if (this.#stuck >= MAX_STUCK) throw new Error(`${run}: not started, since ${MAX_STUCK} earlier ones have not ended. ${hangs}`);
      let late = false;
      const child = execFile(this.#command, args, { maxBuffer: MAX_OUTPUT_BYTES, windowsHide: true, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
        clearTimeout(timer);
        this.#running.delete(child);
        if (late) this.#stuck -= 1;
        else if (this.#closed) reject(new Error(`${run}: the probe was closed.`));
        else if (error) reject(new Error(`${run}: ${explain(error, stdout, stderr)}`, { cause: error }));
        else resolve(stdout);
      });
      this.#running.add(child);
      const timer = setTimeout(() => {
        late = true;
        this.#stuck += 1;
        child.kill("SIGKILL");
        // Neither its pipes nor itself may keep the agent from ending.
        child.stdout?.destroy();
        child.stderr?.destroy();
        child.unref();
        reject(new Error(`${run}: no answer within ${this.#timeoutMs} ms. ${hangs}`));
      }, this.#timeoutMs);
    });
  }
}

function explain(error: Error, stdout: string, stderr: string): string {
  if ("code" in error && error.code === "ENOENT") return "not found. Install the NVIDIA driver, or put nvidia-smi on the PATH.";
  // nvidia-smi explains itself on stdout.
  return (stdout.trim() || stderr.trim() || error.message).slice(0, 500);
}
