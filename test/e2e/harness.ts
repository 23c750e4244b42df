// Real processes for end-to-end tests: starts routers and agents from dist/, reads what they log, and ends exactly what it
// started when a test is over. Everything waits on a condition with a deadline; nothing sleeps for a fixed time.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, jest } from "@jest/globals";
import { stringify } from "yaml";
import { connectRouter, type RouterClient } from "../../src/api/client.js";
import { cleanEnvironment } from "../clean-environment.js";

const MAIN = path.resolve("dist/src/cli/main.js");
/** Generous: a machine that is busy elsewhere must not fail a test. */
const DEADLINE_MS = 15_000;
const POLL_MS = 20;

/** A line that a process logged as JSON. */
export type LogLine = { readonly msg: string } & Readonly<Record<string, unknown>>;

// Several processes start in each test; a busy machine may take its time.
jest.setTimeout(60_000);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** Runs `cleanUp` after the present test, the last one first. */
export function afterThisTest(cleanUp: () => unknown): void {
  cleanUps.push(cleanUp);
}

/** A private folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "gpu-router-e2e-"));
  afterThisTest(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** Asks again until `probe` gives something; throws after the deadline, naming `what` and the last error. */
export async function eventually<T>(what: string, probe: () => Promise<T | null | undefined | false> | T | null | undefined | false, deadlineMs = DEADLINE_MS): Promise<T> {
  const giveUpAtMs = performance.now() + deadlineMs;
  let last: unknown;
  while (performance.now() < giveUpAtMs) {
    try {
      const value = await probe();
      if (value !== null && value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await pause(POLL_MS);
  }
  throw new Error(`Not within ${deadlineMs} ms: ${what}${last === undefined ? "" : `; last: ${String(last)}`}`);
}

/** One process of the command line. */
export class TestProcess {
  readonly child: ChildProcess;
  readonly logged: LogLine[] = [];
  stdout = "";
  stderr = "";
  /** Resolves to the exit code, or to the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  #ended = false;
  readonly #name: string;
  readonly #waiting = new Set<() => void>();
  #partial = "";

  /** `within`: a command that runs it, such as `ip netns exec NAME`. */
  constructor(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, within: readonly string[] = []) {
    if (!existsSync(MAIN)) throw new Error(`${MAIN} is not there: run \`npm run build\` first.`);
    this.#name = name;
    const [program = process.execPath, ...words] = [...within, process.execPath, MAIN, ...args];
    this.child = spawn(program, words, { env: { ...cleanEnvironment(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = once(this.child, "close").then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
      this.#ended = true;
      this.#wake();
      return code ?? signal ?? -1;
    });
    afterThisTest(() => this.kill());
  }

  /** SIGKILL, and the end of it. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** SIGTERM; resolves to how it ended. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.child.kill("SIGTERM");
    return this.ended;
  }

  /** The first line, logged already or yet to come, that `matches`. Throws when the process ends first or the deadline passes. */
  async line(what: string, matches: (line: LogLine) => boolean, deadlineMs = DEADLINE_MS): Promise<LogLine> {
    const giveUpAtMs = performance.now() + deadlineMs;
    for (let seen = 0; ; ) {
      for (; seen < this.logged.length; seen += 1) if (matches(this.logged[seen]!)) return this.logged[seen]!;
      const leftMs = giveUpAtMs - performance.now();
      if (this.#ended || leftMs <= 0) throw new Error(`${this.#name} did not log ${what}${this.#ended ? " and has ended" : ` within ${deadlineMs} ms`}.\n${this.stderr}\n${this.stdout.slice(-4000)}`);
      await this.#more(leftMs);
    }
  }

  /** Resolves when something new was logged, the process has ended, or the time is up. */
  async #more(leftMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, leftMs);
      const waiting = this.#waiting;
      function done(): void {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      }
      waiting.add(done);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #read(text: string): void {
    this.stdout += text;
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith('{"level"')) this.logged.push(JSON.parse(line) as LogLine);
    this.#wake();
  }
}

/** Runs the command line to its end. */
export async function runCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ readonly exitCode: number | NodeJS.Signals; readonly stdout: string; readonly stderr: string }> {
  const process = new TestProcess(`gpu-router ${args[0] ?? ""}`, args, env);
  const exitCode = await process.ended;
  return { exitCode, stdout: process.stdout, stderr: process.stderr };
}

export interface RouterStart {
  /** A private folder when left out. */
  readonly data?: string;
  readonly grpcPort?: number;
  readonly httpPort?: number;
  /** What the configuration file says. */
  readonly config?: object;
  /** Seconds that calls under way may take when stopping. */
  readonly graceSeconds?: number;
}

/** A router that listens. */
export interface RouterProcess {
  readonly process: TestProcess;
  readonly grpcAddress: string;
  readonly httpUrl: string;
  readonly epoch: number;
  readonly data: string;
  readonly client: RouterClient;
  /** The same again after its end: same data, same ports. */
  restart(): Promise<RouterProcess>;
}

/** Starts `gpu-router serve` and waits until it listens. */
export async function startRouter(start: RouterStart = {}): Promise<RouterProcess> {
  const data = start.data ?? path.join(await temporaryFolder(), "data");
  const process = await serveProcess({ ...start, data });
  const listening = await process.line("that it listens", (line) => line.msg === "listening");
  const grpcAddress = String(listening["grpc"]);
  const client = connectRouter(grpcAddress);
  afterThisTest(() => client.close());
  return {
    process,
    grpcAddress,
    httpUrl: `http://${String(listening["http"])}`,
    epoch: Number(listening["epoch"]),
    data,
    client,
    restart: () => startRouter({ ...start, data, grpcPort: portOf(grpcAddress), httpPort: portOf(String(listening["http"])) }),
  };
}

/** The process alone, for routers that are to fail. */
export async function serveProcess({ data, grpcPort = 0, httpPort = 0, config, graceSeconds = 1 }: RouterStart & { readonly data: string }): Promise<TestProcess> {
  const configFile = await writeConfig("router.yaml", config ?? {});
  const ports = ["--grpc-port", `${grpcPort}`, "--http-port", `${httpPort}`, "--grace", `${graceSeconds}`];
  return new TestProcess("router", ["serve", "--config", configFile, "--data", data, ...ports]);
}

export interface AgentStart {
  readonly nodeId: string;
  readonly router: string;
  readonly gpus?: number;
  /** A100-80GB when left out. */
  readonly kind?: string;
  readonly speed?: number;
  /** The section `runners` of its configuration. */
  readonly runners?: object;
  /** Other keys of its configuration. */
  readonly config?: object;
  readonly env?: NodeJS.ProcessEnv;
  readonly graceSeconds?: number;
  readonly logLevel?: string;
  /** File from which its simulated GPUs take their events. */
  readonly eventsFile?: string;
  /** A command that runs it, such as `ip netns exec NAME`. */
  readonly within?: readonly string[];
}

/** Starts `gpu-router agent` with simulated GPUs and waits until it is connected. */
export async function startAgent(start: AgentStart): Promise<TestProcess> {
  const process = await agentProcess(start);
  await connectedTo(process, 1);
  return process;
}

/** The process alone, for agents that are to be refused. */
export async function agentProcess({ nodeId, router, gpus = 4, kind = "A100-80GB", speed = 1, runners = {}, config = {}, env, graceSeconds = 1, logLevel = "info", eventsFile, within }: AgentStart): Promise<TestProcess> {
  const simulated = { gpus, kind, speed, ...(eventsFile !== undefined && { events_file: eventsFile }) };
  const configFile = await writeConfig(`${nodeId}.yaml`, { node_id: nodeId, router_address: router, log_level: logLevel, probe: { mode: "simulated", simulated }, runners, ...config });
  return new TestProcess(`agent ${nodeId}`, ["agent", "--config", configFile, "--grace", `${graceSeconds}`], env, within);
}

/** Waits until the agent has been welcomed by a router of at least `epoch`. */
export async function connectedTo(agent: TestProcess, epoch: number): Promise<void> {
  await agent.line(`a connection to a router of epoch ${epoch}`, (line) => line.msg === "connected to the router" && Number(line["epoch"]) >= epoch);
}

/** One end of an attempt as its agent counted it. */
export interface AttemptEnd {
  readonly request: string;
  readonly attempt: number;
  readonly gpu: string;
  readonly outcome: string;
}

export function attemptEnds(agents: readonly TestProcess[]): AttemptEnd[] {
  return agents.flatMap((agent) => agent.logged.filter((line) => line.msg === "attempt ended") as unknown as AttemptEnd[]);
}

async function writeConfig(name: string, config: object): Promise<string> {
  const file = path.join(await temporaryFolder(), name);
  await writeFile(file, stringify(config));
  return file;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
