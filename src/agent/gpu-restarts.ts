// Restarts GPUs with the one command that the operator of the node has configured. Called by agent.ts with the router's orders. Nothing of
// an order reaches a program path or a shell: it names a GPU of this node, whose id and place the command's arguments may ask for.
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { RestartOutcome, RestartReportSchema, type RestartOrder, type RestartReport } from "../../gen/gpurouter/v1/agent_pb.js";
import type { ProbedGpu } from "./probes/probe.js";
import { ProcessTree, type ProcessEnd } from "./runners/exec/process-tree.js";
import { TailBuffer } from "./runners/exec/tail-buffer.js";

export interface RestartCommand {
  /** Program and arguments; `{gpu_id}` and `{index}` in the arguments stand for the GPU. */
  readonly argv: readonly [string, ...string[]];
  readonly timeoutMs: number;
}

const OUTPUT_TAIL_BYTES = 1024;
const KILL_GRACE_MS = 5_000;
/** Outcomes that are remembered, so that an order that comes again is not run again. */
const MAX_REMEMBERED = 256;
/** Of the agent's environment, what a program needs to run at all. */
const INHERITED = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

export class GpuRestarts {
  readonly #command: RestartCommand | null;
  readonly #gpus: readonly ProbedGpu[];
  readonly #log: Logger;
  readonly #onReport: () => void;
  readonly #running = new Map<string, ProcessTree>();
  /** Oldest first. */
  readonly #ended = new Map<string, RestartReport>();
  #toTell: RestartReport[] = [];

  /** `onReport` is called when there is something to take. */
  constructor(command: RestartCommand | null, gpus: readonly ProbedGpu[], log: Logger, onReport: () => void) {
    this.#command = command;
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

  order({ restartId, gpuId }: RestartOrder): void {
    if (this.#running.has(restartId)) return;
    const known = this.#ended.get(restartId);
    if (known) {
      this.#toTell.push(known);
      this.#onReport();
      return;
    }
    const index = this.#gpus.findIndex((gpu) => gpu.gpuId === gpuId || gpu.parentGpuId === gpuId);
    if (!this.#command) this.#report(restartId, gpuId, RestartOutcome.REFUSED, "The agent has no gpu_restart_command: the operator of the node has to configure one.");
    else if (index < 0) this.#report(restartId, gpuId, RestartOutcome.REFUSED, `This node has no GPU ${gpuId}.`);
    else void this.#run(this.#command, restartId, gpuId, index);
  }

  /** Waits up to `graceMs` for commands under way, then ends them. */
  async close(graceMs: number): Promise<void> {
    const trees = [...this.#running.values()];
    const timer = setTimeout(() => trees.forEach((tree) => tree.stop()), graceMs);
    await Promise.all(trees.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  async #run({ argv, timeoutMs }: RestartCommand, restartId: string, gpuId: string, index: number): Promise<void> {
    const [program, ...rest] = argv;
    const tail = new TailBuffer(OUTPUT_TAIL_BYTES);
    const env: Record<string, string> = { GPU_ROUTER_GPU_ID: gpuId, GPU_ROUTER_RESTART_ID: restartId };
    for (const name of INHERITED) if (process.env[name] !== undefined) env[name] = process.env[name];
    this.#log.warn({ gpu: gpuId, restart: restartId, program }, "restarting a GPU");
    const tree = new ProcessTree({
      argv: [program, ...rest.map((argument) => argument.replaceAll("{gpu_id}", gpuId).replaceAll("{index}", `${index}`))],
      cwd: "/",
      env,
      stdin: new Uint8Array(),
      killGraceMs: KILL_GRACE_MS,
      // Half a reset is worse than one whose agent has gone.
      guard: null,
      endsWithLease: false,
      onSpawn: () => {},
      onStdout: (chunk) => tail.push(chunk),
      onStderr: (chunk) => tail.push(chunk),
    });
    this.#running.set(restartId, tree);
    const timer = setTimeout(() => tree.stop(), timeoutMs);
    const end = await tree.ended;
    clearTimeout(timer);
    this.#running.delete(restartId);
    const well = end.kind === "exited" && end.exitCode === 0 && !end.stopped;
    const said = tail.bytes().toString("utf8").trim();
    const message = [well ? "" : endText(end, timeoutMs), said].filter((part) => part !== "").join(" It said last: ");
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

function endText(end: ProcessEnd, timeoutMs: number): string {
  if (end.kind === "not_spawned") return `The command could not be started: ${end.error.message}.`;
  if (end.stopped) return `The command was stopped: it had not ended within ${timeoutMs / 1000} s, or the agent was stopping.`;
  return end.kind === "exited" ? `The command ended with exit code ${end.exitCode}.` : `The command was ended by ${end.signal}.`;
}
