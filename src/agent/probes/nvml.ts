// The probe that asks NVIDIA's management library: every figure, Xid errors, MIG instances. Made by `index.ts`.
// The library lives in a process of its own (`nvml-process.ts`). A GPU whose call hangs is told of and left alone for a while; the
// process is replaced and the other GPUs go on.
import type { WholeGpu } from "./gpu-reading.js";
import { NvmlClient, NvmlProcessEnded, type NvmlClientOptions } from "./nvml-client.js";
import type { GpuProbeEvent, GpuSample, Probe, ProbedGpu } from "./probe.js";

export interface NvmlOptions extends NvmlClientOptions {
  /** How long a GPU that hung is not asked, ms; a minute by default. */
  readonly retryHungAfterMs?: number;
}

/** A physical GPU: itself or its MIG instances. */
interface PhysicalGpu {
  readonly uuid: string;
  readonly gpuIds: readonly string[];
  /** Those of `gpuIds` that do not answer, and what was told of them. */
  readonly lost: Map<string, "lost" | "hangs">;
  /** By performance.now(). */
  askAgainAtMs: number;
}

/** The process as it is asked; `uuids` are the physical GPUs. */
interface NvmlSession {
  readonly client: NvmlClient;
  readonly uuids: Promise<readonly string[]>;
}

/** One, and those that do not end although they were killed since they are stuck in the driver. */
const MAX_PROCESSES = 3;

export class NvmlProbe implements Probe {
  readonly kind = "nvml";
  readonly #options: NvmlOptions;
  readonly #listeners = new Set<(event: GpuProbeEvent) => void>();
  #physical: readonly PhysicalGpu[] = [];
  #session: NvmlSession | undefined;
  #processes = 0;
  #sampling: Promise<readonly GpuSample[]> | undefined;
  #closed = false;

  constructor(options: NvmlOptions = {}) {
    this.#options = options;
  }

  /** GPUs that do not answer are left out. Rejects with what to do when there is none. */
  async inventory(): Promise<readonly ProbedGpu[]> {
    const found: PhysicalGpu[] = [];
    const gpus: ProbedGpu[] = [];
    let failure: unknown;
    for (const uuid of await this.#uuids()) {
      try {
        const answers = (await this.#read(uuid)).map(({ gpu }) => gpu);
        gpus.push(...answers);
        found.push({ uuid, gpuIds: answers.map(({ gpuId }) => gpuId), lost: new Map(), askAgainAtMs: 0 });
      } catch (error) {
        failure = error;
      }
    }
    if (gpus.length === 0) throw failure ?? new Error("Every GPU is in MIG mode, and none has an instance. Create some with `nvidia-smi mig -cgi … -C`.");
    this.#physical = found;
    return gpus;
  }

  /** While one is under way, the same one. Rejects, with the reason, when no GPU answers. */
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
    await this.#session?.client.close();
  }

  async #sample(): Promise<readonly GpuSample[]> {
    if (this.#closed) throw new Error("NVML is closed.");
    if (this.#physical.length === 0) await this.inventory();
    const samples: GpuSample[] = [];
    let failure = new Error("No GPU answers: NVML hung on each of them a short while ago.");
    let unopened: Error | undefined;
    for (const physical of this.#physical.filter(({ askAgainAtMs }) => performance.now() >= askAgainAtMs)) {
      try {
        // Waited for once, not once per GPU.
        unopened ??= await this.#uuids().then(() => undefined, toError);
        if (unopened) throw unopened;
        const answers = (await this.#read(physical.uuid)).filter(({ gpu }) => physical.gpuIds.includes(gpu.gpuId));
        samples.push(...answers.map(({ sample }) => sample));
        this.#note(physical, new Set(answers.map(({ gpu }) => gpu.gpuId)), "lost", "NVML no longer shows it.");
      } catch (error) {
        failure = toError(error);
        // It was this GPU's call that hung, or crashed the library; any other failure is told quickly and may be over next time.
        if (error instanceof NvmlProcessEnded) physical.askAgainAtMs = performance.now() + (this.#options.retryHungAfterMs ?? 60_000);
        // What NVML as a whole does not tell says nothing of what the GPU computes.
        const kind = error instanceof NvmlProcessEnded || error === unopened ? "hangs" : "lost";
        this.#note(physical, new Set(), kind, failure.message);
      }
    }
    if (samples.length === 0) throw failure;
    return samples;
  }

  async #read(uuid: string): Promise<readonly WholeGpu[]> {
    await this.#uuids();
    if (!this.#session) throw new Error("NVML is closed.");
    return this.#session.client.read(uuid);
  }

  /** Starts the process, or another one in the place of one that has ended. */
  async #uuids(): Promise<readonly string[]> {
    if (this.#closed) throw new Error("NVML is closed.");
    if (!this.#session || this.#session.client.ended) this.#session = this.#start();
    return this.#session.uuids;
  }

  #start(): NvmlSession {
    if (this.#processes >= MAX_PROCESSES) {
      throw new Error(`NVML hangs: ${MAX_PROCESSES} processes are stuck in the NVIDIA driver and cannot be ended. Drain the node and reboot it.`);
    }
    const client = new NvmlClient(this.#options, (event) => this.#emit(event));
    this.#processes += 1;
    void client.exited.then(() => {
      this.#processes -= 1;
    });
    const uuids = client.open().catch((error: unknown) => {
      void client.close();
      throw error;
    });
    return { client, uuids };
  }

  /** Tells of GPUs that answered before and do not now, or the other way round, once each time. */
  #note({ gpuIds, lost }: PhysicalGpu, answering: ReadonlySet<string>, kind: "lost" | "hangs", reason: string): void {
    for (const gpuId of gpuIds) {
      const told = lost.get(gpuId);
      if (answering.has(gpuId)) {
        lost.delete(gpuId);
        if (told === "lost") this.#emit({ kind: "restored", gpuId, reason: "it answers again" });
      } else if (told !== kind && told !== "lost") {
        lost.set(gpuId, kind);
        this.#emit({ kind, gpuId, reason });
      }
    }
  }

  #emit(event: GpuProbeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
