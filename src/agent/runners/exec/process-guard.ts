// The agent's end of the guard, a process that outlives it for an instant: commands do not run on when the agent is killed, nor past its
// lease when it is stopped. One for all exec runners of an agent; started with the first command. Used by `exec.ts`, made by `index.ts`.
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { hrtime } from "node:process";
import { fileURLToPath } from "node:url";

/** What a runner of commands tells its guard. */
export interface Guard {
  /** A process group has been started; `endsWithLease`: its work must not run twice at once. */
  add(groupId: number, endsWithLease: boolean): void;
  /** It is gone; its id may be used again. */
  remove(groupId: number): void;
  /** Until when the router leaves work that must not run twice to this agent, by `performance.now()`. */
  leaseUntil(atMs: number): void;
  /** Whether that has passed. */
  readonly leaseIsOut: boolean;
}

const GUARD = fileURLToPath(new URL("./guard-process.js", import.meta.url));
/** A guard that cannot be started, or that was killed, is tried again. */
const AGAIN_MS = 1_000;

export class ProcessGuard implements Guard {
  readonly #onTrouble: (trouble: string) => void;
  readonly #groups = new Map<number, boolean>();
  #pipe: Socket | null = null;
  #again: NodeJS.Timeout | null = null;
  #troubled = false;
  #leaseUntilMs = Number.POSITIVE_INFINITY;

  /** `onTrouble` hears why there is no guard now, and "" when there is one again. */
  constructor(onTrouble: (trouble: string) => void) {
    this.#onTrouble = onTrouble;
  }

  add(groupId: number, endsWithLease: boolean): void {
    this.#groups.set(groupId, endsWithLease);
    // A new process is told of all groups.
    if (this.#pipe === null) this.#start();
    else this.#tell(`+ ${groupId} ${endsWithLease ? "once" : "any"}`);
  }

  remove(groupId: number): void {
    this.#groups.delete(groupId);
    this.#tell(`- ${groupId}`);
  }

  leaseUntil(atMs: number): void {
    if (atMs === this.#leaseUntilMs) return;
    this.#leaseUntilMs = atMs;
    this.#tell(this.#untilLine());
  }

  get leaseIsOut(): boolean {
    return performance.now() >= this.#leaseUntilMs;
  }

  /** Lets the guard go: nothing may run any more. */
  close(): void {
    if (this.#again) clearTimeout(this.#again);
    this.#groups.clear();
    const pipe = this.#pipe;
    this.#pipe = null;
    pipe?.end();
  }

  #start(): void {
    if (this.#again) return;
    // A session of its own: a Ctrl-C in the agent's terminal is not for it.
    const child = spawn(process.execPath, [GUARD], { detached: true, stdio: ["pipe", "ignore", "inherit"], env: {} });
    const pipe = child.stdin as Socket;
    this.#pipe = pipe;
    // Neither keeps the agent from ending.
    child.unref();
    pipe.unref();
    pipe.on("error", () => {});
    const gone = (trouble: string): void => {
      if (this.#pipe !== pipe) return;
      this.#pipe = null;
      this.#troubled = true;
      this.#onTrouble(`${trouble}: commands would outlive this agent if it were killed now. It is started again.`);
      this.#again = setTimeout(() => {
        this.#again = null;
        if (this.#groups.size > 0) this.#start();
      }, AGAIN_MS);
      this.#again.unref();
    };
    child.on("spawn", () => {
      if (this.#troubled) this.#onTrouble("");
      this.#troubled = false;
    });
    child.on("error", (error) => gone(`The guard of the commands cannot be started (${error.message})`));
    child.on("exit", (code, signal) => gone(`The guard of the commands has ended (${signal ?? `exit code ${code}`})`));
    this.#tell(this.#untilLine());
    for (const [groupId, endsWithLease] of this.#groups) this.#tell(`+ ${groupId} ${endsWithLease ? "once" : "any"}`);
  }

  #tell(line: string): void {
    this.#pipe?.write(`${line}\n`);
  }

  /** In the clock that the guard shares. */
  #untilLine(): string {
    return `until ${Number(hrtime.bigint()) / 1e6 + this.#leaseUntilMs - performance.now()}`;
  }
}
