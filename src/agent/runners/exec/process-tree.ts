// A child process and everything it starts: spawned into a process group of its own, ended as a group.
// Called by `exec.ts`. Knows nothing of jobs. A process that leaves the group (setsid) escapes; nothing else does.
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import type { Guard } from "./process-guard.js";
import { groupRuns, signalGroup } from "./process-group.js";

export interface ProcessSpec {
  /** Program and arguments; never goes through a shell. */
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** From SIGTERM to SIGKILL, ms. */
  readonly killGraceMs: number;
  /** Ends it when this process no longer can; null where it should then run on. */
  readonly guard: Guard | null;
  /** It must not run on when the agent's lease has run out. */
  readonly endsWithLease: boolean;
  readonly onSpawn: () => void;
  readonly onStdout: (chunk: Buffer) => void;
  readonly onStderr: (chunk: Buffer) => void;
}

/** `stopped`: `stop()` was called before the leader ended. */
export type ProcessEnd =
  | { readonly kind: "exited"; readonly exitCode: number; readonly stopped: boolean }
  | { readonly kind: "signalled"; readonly signal: NodeJS.Signals; readonly stopped: boolean }
  | { readonly kind: "not_spawned"; readonly error: NodeJS.ErrnoException };

/** How a process ended that was there. */
export type SpawnedEnd = Exclude<ProcessEnd, { readonly kind: "not_spawned" }>;

/** How often to look whether the group is gone: the kernel tells only of the leader. */
const GROUP_POLL_MS = 20;
/** What outlives the leader may be about to end by itself, such as the tee of `exec > >(tee log)`. */
const LEFTOVER_GRACE_MS = 500;
/** After SIGKILL: a process stuck in the kernel, as a dying driver leaves it, must not hold the agent up. */
const GROUP_GIVE_UP_MS = 2000;
/** After the end of the group: a process that left it may still hold the pipes. */
const PIPES_GIVE_UP_MS = 1000;

/** A started tree. */
export class ProcessTree {
  /** The end of the leader, resolved only after the whole group is gone. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  readonly #spec: ProcessSpec;
  /** 0 when there is nothing to signal. */
  #groupId = 0;
  #stopped = false;
  #killTimer: NodeJS.Timeout | null = null;
  #killedAt = Number.POSITIVE_INFINITY;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
    this.ended = this.#run().finally(() => {
      if (this.#killTimer !== null) clearTimeout(this.#killTimer);
    });
  }

  /** SIGTERM to the group now, SIGKILL after the grace. Again: no effect. */
  stop(killGraceMs = this.#spec.killGraceMs): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#signal("SIGTERM");
    this.#killTimer = setTimeout(() => {
      this.#killedAt = performance.now();
      this.#signal("SIGKILL");
    }, killGraceMs);
  }

  async #run(): Promise<ProcessEnd> {
    const { argv, cwd, env, stdin, guard, endsWithLease, onStdout, onStderr, onSpawn } = this.#spec;
    let child: ChildProcessWithoutNullStreams;
    try {
      // Detached: setsid(), so the pid is the id of a new process group.
      child = spawn(argv[0], argv.slice(1), { cwd, env, detached: true, stdio: "pipe" });
    } catch (error) {
      return { kind: "not_spawned", error: error as NodeJS.ErrnoException };
    }
    // Before anything is awaited: from here on it may outlive this process.
    if (child.pid !== undefined) guard?.add(child.pid, endsWithLease);
    const piped = new Promise<void>((resolve) => child.once("close", () => resolve()));
    child.stdout.on("data", onStdout);
    child.stderr.on("data", onStderr);
    // A command may end without reading its input: EPIPE is no fault.
    child.stdin.on("error", () => {});
    const exited = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) => {
      child.once("exit", (code, signal) => resolve([code, signal]));
    });
    const spawnError = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      child.once("spawn", () => resolve(null));
      child.once("error", resolve);
    });
    if (spawnError !== null || child.pid === undefined) {
      return { kind: "not_spawned", error: spawnError ?? new Error("the process has no id") };
    }
    this.#groupId = child.pid;
    if (this.#stopped) this.#signal("SIGTERM");
    onSpawn();
    child.stdin.end(stdin);
    const [exitCode, signal] = await exited;
    const stopped = this.#stopped;
    await this.#groupGone();
    await withinMs(piped, PIPES_GIVE_UP_MS);
    child.stdout.destroy();
    child.stderr.destroy();
    return signal === null ? { kind: "exited", exitCode: exitCode ?? 0, stopped } : { kind: "signalled", signal, stopped };
  }

  /** The leader has ended; what it left behind has to go too, in the same way. */
  async #groupGone(): Promise<void> {
    const exitedAt = performance.now();
    while (await groupRuns(this.#groupId)) {
      if (performance.now() - exitedAt > LEFTOVER_GRACE_MS) this.stop();
      if (performance.now() - this.#killedAt > GROUP_GIVE_UP_MS) break;
      await new Promise((resolve) => setTimeout(resolve, GROUP_POLL_MS));
    }
    // The id is free again: nothing may be sent to it any more.
    this.#spec.guard?.remove(this.#groupId);
    this.#groupId = 0;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#groupId !== 0) signalGroup(this.#groupId, signal);
  }
}

async function withinMs(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
