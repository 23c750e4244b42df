// Restarts GPUs of the node, each order once, and remembers how that went. Called by agent.ts with the router's orders; how a GPU is
// restarted is restart-command.ts's.
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { RestartOutcome, RestartReportSchema, type RestartOrder, type RestartReport } from "../../gen/gpurouter/v1/agent_pb.js";
import type { ProbedGpu } from "./probes/probe.js";

/** Begins to restart a GPU; `index` is its place among those of the node. */
export type RestartGpu = (restart: { readonly restartId: string; readonly gpuId: string; readonly index: number }) => RestartUnderWay;

export interface RestartUnderWay {
  /** How it went; `message` is for people. Never rejects. */
  readonly ended: Promise<{ readonly well: boolean; readonly message: string }>;
  /** Does not wait for it any longer: it ends soon. */
  stop(): void;
}

/** Outcomes that are remembered, so that an order that comes again is not run again. */
const MAX_REMEMBERED = 256;

export class GpuRestarts {
  readonly #restartGpu: RestartGpu | null;
  readonly #gpus: readonly ProbedGpu[];
  readonly #log: Logger;
  readonly #onReport: () => void;
  readonly #running = new Map<string, RestartUnderWay>();
  /** Oldest first. */
  readonly #ended = new Map<string, RestartReport>();
  #toTell: RestartReport[] = [];

  /** `restartGpu` is null when nothing may be restarted; `onReport` is called when there is something to take. */
  constructor(restartGpu: RestartGpu | null, gpus: readonly ProbedGpu[], log: Logger, onReport: () => void) {
    this.#restartGpu = restartGpu;
    this.#gpus = gpus;
    this.#log = log;
    this.#onReport = onReport;
  }

  /** Whether there are reports to take. */
  get waiting(): boolean {
    return this.#toTell.length > 0;
  }

  /** What is to be told now. */
  take(): RestartReport[] {
    return this.#toTell.splice(0);
  }

  /** A new stream: what was told on the last one may be lost. */
  tellAgain(): void {
    this.#toTell = [...this.#ended.values()];
  }

  /** One that came late, when the lease of the node had run out, is not begun. */
  order({ restartId, gpuId }: RestartOrder, isLate: boolean): void {
    if (this.#running.has(restartId)) return;
    const known = this.#ended.get(restartId);
    if (known) {
      this.#toTell.push(known);
      this.#onReport();
      return;
    }
    const index = this.#gpus.findIndex((gpu) => gpu.gpuId === gpuId || gpu.parentGpuId === gpuId);
    if (!this.#restartGpu) this.#report(restartId, gpuId, RestartOutcome.REFUSED, "The agent has no gpu_restart_command: the operator of the node has to configure one.");
    else if (isLate) this.#report(restartId, gpuId, RestartOutcome.REFUSED, "The order came when the lease of the node had run out: ask again.");
    else if (index < 0) this.#report(restartId, gpuId, RestartOutcome.REFUSED, `This node has no GPU ${gpuId}.`);
    else void this.#run(this.#restartGpu, restartId, gpuId, index);
  }

  /** Waits up to `graceMs` for what is under way, then ends it. */
  async close(graceMs: number): Promise<void> {
    const underWay = [...this.#running.values()];
    const timer = setTimeout(() => underWay.forEach((restart) => restart.stop()), graceMs);
    await Promise.all(underWay.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  async #run(restartGpu: RestartGpu, restartId: string, gpuId: string, index: number): Promise<void> {
    this.#log.warn({ gpu: gpuId, restart: restartId }, "restarting a GPU");
    const underWay = restartGpu({ restartId, gpuId, index });
    this.#running.set(restartId, underWay);
    const { well, message } = await underWay.ended;
    this.#running.delete(restartId);
    this.#report(restartId, gpuId, well ? RestartOutcome.SUCCEEDED : RestartOutcome.FAILED, message);
  }

  #report(restartId: string, gpuId: string, outcome: RestartOutcome, message: string): void {
    const report = create(RestartReportSchema, { restartId, gpuId, outcome, message });
    this.#ended.set(restartId, report);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= MAX_REMEMBERED) break;
      this.#ended.delete(oldest);
    }
    this.#log.warn({ gpu: gpuId, restart: restartId, outcome: RestartOutcome[outcome].toLowerCase(), said: message }, "GPU restart ended");
    this.#toTell.push(report);
    this.#onReport();
  }
}
