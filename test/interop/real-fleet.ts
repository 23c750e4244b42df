// A router and an agent as real processes from dist/, on free ports and a journal of their own: what interop and the
// documentation are tested against. `npm test` has built dist/; after `jest` alone it is as old as the last build.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { cleanEnvironment } from "../clean-environment.js";

export const ROOT = path.resolve(import.meta.dirname, "../..");
export const CLI = path.join(ROOT, "dist/src/cli/main.js");
const START_MS = 20_000;
const STOP_MS = 15_000;

export interface RealFleet {
  /** host:port. */
  readonly grpc: string;
  /** http://host:port. */
  readonly http: string;
  stop(): Promise<void>;
}

/** `gpu-router serve` and `gpu-router agent` with simulated GPUs that are 20 times as fast as real ones. Resolves when the agent is connected. */
export async function startRealFleet({ gpus }: { readonly gpus: number }): Promise<RealFleet> {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run \`npm run build\` first.`);
  const directory = mkdtempSync(path.join(tmpdir(), "gpu-router-interop-"));
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await ended(child);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const serve = start(["serve", "--grpc-port", "0", "--http-port", "0", "--data", path.join(directory, "data"), "--grace", "1"], directory);
    children.push(serve);
    const { grpc, http } = await logLine(serve, "listening");
    const config = path.join(directory, "agent.yaml");
    writeFileSync(config, `node_id: interop\nprobe:\n  mode: simulated\n  simulated: { gpus: ${gpus}, speed: 20 }\n`);
    const agent = start(["agent", "--config", config, "--router", String(grpc), "--grace", "0"], directory);
    children.push(agent);
    await logLine(agent, "connected to the router");
    return { grpc: String(grpc), http: `http://${http}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface StartedProcess {
  readonly child: ChildProcess;
  /** The line of its log that said that it is ready. */
  readonly line: Readonly<Record<string, unknown>>;
}

/** `gpu-router` with these arguments, once its log says `message`. */
export async function startProcess(args: readonly string[], cwd: string, message: string): Promise<StartedProcess> {
  const child = start(args, cwd);
  return { child, line: await logLine(child, message) };
}

function start(args: readonly string[], cwd: string): ChildProcess {
  return spawn(process.execPath, [CLI, ...args], { cwd, env: cleanEnvironment(), stdio: ["ignore", "pipe", "inherit"] });
}

/** The first line of the log with this message. */
function logLine(child: ChildProcess, message: string): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no "${message}" within ${START_MS} ms`)), START_MS);
    child.once("exit", (code, signal) => reject(new Error(`ended with ${code ?? signal} before it said "${message}"`)));
    if (!child.stdout) throw new Error("stdout is not a pipe");
    // Never closed: whoever stops to read would block the process that writes.
    createInterface({ input: child.stdout }).on("line", (line) => {
      const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
      if (entry["msg"] !== message) return;
      clearTimeout(timer);
      resolve(entry);
    });
  });
}

/** Asks a process to stop, and does not leave without its end. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(timer);
}
