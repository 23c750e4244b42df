// The runner for one command that the operator of the node allowed by name. Made by `index.ts`, one per command.
//
// A request names the command (its model id) and gives it bytes on stdin. Nothing of a request reaches a program path,
// an argument or a shell. The command sees its GPUs, no others, and the environment of `exec/environment.ts`.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AttemptOutput } from "./exec/attempt-output.js";
import type { Confinement } from "./exec/confinement.js";
import { commandEnvironment } from "./exec/environment.js";
import type { Guard } from "./exec/process-guard.js";
import { ProcessTree, type SpawnedEnd } from "./exec/process-tree.js";
import { makePrivateDirectory, removePrivateDirectory } from "./exec/private-directory.js";
import { limitReached, NO_LIMITS } from "./exec/resource-limits.js";
import { readResultFile } from "./exec/result-file.js";
import { spawnTrouble } from "./exec/spawn-trouble.js";
import { gpuFaultIn } from "./gpu-fault.js";
import { unsuccessful } from "./outcome.js";
import { STOP_AT_ONCE, type Job, type JobOutcome, type JobSink, type Runner, type RunnerDescription } from "./runner.js";

export interface ExecCommand {
  /** The model id by which requests ask for it. */
  readonly name: string;
  /** Program (a path, or a name looked up in PATH) and its arguments. */
  readonly argv: readonly [string, ...string[]];
  /** Request types that it takes; any when empty. */
  readonly types: readonly string[];
  /** Where it runs; "" for a private directory that is removed afterwards. */
  readonly cwd: string;
  /** Added to the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** GPUs that it may use; all of the node when empty. */
  readonly gpuIds: readonly string[];
  /** From SIGTERM to SIGKILL, ms. */
  readonly killGraceMs: number;
  /** Live output per attempt, and the tail of stdout that is the result when no result file is written; bytes. */
  readonly maxOutputBytes: number;
}

/** Runs its command for each job. */
export class ExecRunner implements Runner {
  readonly kind = "exec";
  readonly name: string;
  readonly #command: ExecCommand;
  /** The agent's own environment; `commandEnvironment` says what a command sees of it. */
  readonly #agentEnv: NodeJS.ProcessEnv;
  readonly #guard: Guard;
  readonly #confinement: Confinement | null;
  readonly #running = new Map<ProcessTree, Promise<unknown>>();
  #closed = false;

  /** `guard` may be that of other runners of this agent too. Without `confinement` it runs as the agent, and as the agent may. */
  constructor(command: ExecCommand, agentEnv: NodeJS.ProcessEnv, guard: Guard, confinement: Confinement | null = null) {
    this.name = command.name;
    this.#guard = guard;
    this.#confinement = confinement;
    this.#command = command;
    this.#agentEnv = agentEnv;
  }

  describe(): RunnerDescription {
    return { models: [this.#command.name], types: this.#command.types, gpuIds: this.#command.gpuIds };
  }

  /** What it serves never changes. */
  onChange(): () => void {
    return () => {};
  }

  leaseUntil(atMs: number): void {
    this.#guard.leaseUntil(atMs);
  }

  async run(job: Job, sink: JobSink, limits: { readonly maxResultBytes: number }, signal: AbortSignal): Promise<JobOutcome> {
    if (job.modelId !== this.#command.name) {
      return unsuccessful("unavailable", "unknown_command", `This runner is for "${this.#command.name}", not "${job.modelId}".`, { fault: "none" });
    }
    const parent = privateParent(this.#agentEnv);
    const account = this.#confinement?.account ?? null;
    let directory: string;
    try {
      directory = await makePrivateDirectory(parent, account);
    } catch (error) {
      return unsuccessful("unavailable", "spawn_failed", `No private directory in ${parent}: ${(error as Error).message}. Make room there, or set TMPDIR of the agent.`);
    }
    try {
      return await this.#runIn(directory, job, sink, limits.maxResultBytes, signal);
    } finally {
      // A directory that cannot be removed must not turn a finished job into an exception.
      await removePrivateDirectory(directory, account).catch(() => {});
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const tree of this.#running.keys()) tree.stop();
    await Promise.all(this.#running.values());
  }

  async #runIn(directory: string, job: Job, sink: JobSink, maxResultBytes: number, signal: AbortSignal): Promise<JobOutcome> {
    if (signal.aborted) return unsuccessful("cancelled", "cancelled", "Cancelled before it began.");
    if (this.#closed) return unsuccessful("unavailable", "runner_closed", "The agent is stopping.", { fault: "none" });
    const command = this.#command;
    const confinement = this.#confinement;
    const account = confinement?.account ?? null;
    const resultFile = join(directory, "gpu-router-result");
    const env = commandEnvironment(command.env, this.#agentEnv, job, directory, resultFile, account);
    const cwd = command.cwd === "" ? directory : command.cwd;
    const output = new AttemptOutput(sink, command.maxOutputBytes, Math.min(command.maxOutputBytes, maxResultBytes));
    const tree = new ProcessTree({
      ...(confinement?.launch(command.argv, env) ?? { argv: command.argv, env }),
      cwd,
      stdin: job.payload,
      killGraceMs: command.killGraceMs,
      guard: this.#guard,
      endsWithLease: job.mustNotRunTwice,
      onSpawn: () => sink.started(),
      onStdout: (chunk) => output.stdout.push(chunk),
      onStderr: (chunk) => output.pushStderr(chunk),
    });
    const onAbort = (): void => tree.stop(signal.reason === STOP_AT_ONCE ? 0 : command.killGraceMs);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#running.set(tree, tree.ended);
    const end = await tree.ended;
    this.#running.delete(tree);
    signal.removeEventListener("abort", onAbort);
    output.stdout.end();
    if (end.kind === "not_spawned") return spawnTrouble(end.error, command.argv[0], cwd, env["PATH"] ?? "");
    // Whatever its exit code: a command that ends well on SIGTERM has saved its state, not done its work.
    if (end.stopped && signal.aborted) return output.unsuccessful("cancelled", "cancelled", describeEnd(end));
    if (end.stopped) return output.unsuccessful("unavailable", "runner_closed", `The agent is stopping. ${describeEnd(end)}`, { fault: "none" });
    if (end.kind === "signalled" && job.mustNotRunTwice && this.#guard.leaseIsOut) return output.unsuccessful("fenced", "lease_out", "The agent stood still past its lease: its guard has ended the command.");
    const gpuFault = end.kind === "signalled" || end.exitCode !== 0 ? gpuFaultIn(output.stderrText) : null;
    if (gpuFault) return output.unsuccessful("unavailable", "gpu_fault", `${gpuFault}. ${describeEnd(end)}`, { fault: "gpu", ...(end.kind === "exited" && { exitCode: end.exitCode }) });
    if (end.kind === "exited" && confinement?.wasNotStarted(end.exitCode, output.stderrText)) return output.unsuccessful("unavailable", "spawn_failed", `The command could not be started as configured in the agent's runners.exec.`);
    const limit = end.kind === "signalled" || end.exitCode !== 0 ? limitReached(end, output.stderrText, confinement?.limits ?? NO_LIMITS) : "";
    if (limit !== "") return output.unsuccessful("failed", "limit_exceeded", `The command came up against a limit of this node: ${limit}, in the agent's runners.exec. ${describeEnd(end)}`, end.kind === "exited" ? { exitCode: end.exitCode } : {});
    if (end.kind === "signalled") return output.unsuccessful("unavailable", "killed", killedText(end.signal));
    if (end.exitCode !== 0) return output.unsuccessful("failed", "exit_code", describeEnd(end), { exitCode: end.exitCode });
    const file = await readResultFile(resultFile, maxResultBytes, account?.uid);
    if (file.kind === "unusable") return output.unsuccessful("failed", file.code, file.message);
    return file.kind === "read" ? output.succeeded(file.bytes, "application/octet-stream") : output.succeededWithTail();
  }
}

/** Where private directories lie. */
export function privateParent(agentEnv: NodeJS.ProcessEnv): string {
  return agentEnv["TMPDIR"] || tmpdir();
}

function describeEnd(end: SpawnedEnd): string {
  return end.kind === "exited" ? `The command ended with exit code ${end.exitCode}.` : `The command was ended by ${end.signal}.`;
}

function killedText(signal: NodeJS.Signals): string {
  const hint = signal === "SIGKILL" ? " The kernel does so when memory runs out (see dmesg)." : "";
  return `The command was killed by ${signal}, which the agent did not send.${hint}`;
}
