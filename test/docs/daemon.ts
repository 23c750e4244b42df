// `npm start` as a document says it, on free ports and with a journal of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cleanEnvironment } from "../clean-environment.js";
import { ROOT } from "../interop/real-fleet.js";

export interface Daemon {
  /** host:port. */
  readonly grpc: string;
  readonly http: string;
  /** Everything that it has printed so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Ctrl-C as a terminal gives it: to the whole process group. Resolves when all is over. */
  readonly ctrlC: () => Promise<void>;
  /** The outermost process. */
  readonly pid: number;
  readonly ended: Promise<void>;
}

const READY_MS = 60_000;

/** Runs a command that starts a daemon, such as `npm start`, with `more` options. Resolves when the daemon says that it is up. */
export async function startDaemon(command: string, more: readonly string[], cwd = ROOT): Promise<Daemon> {
  // npm keeps what stands before "--" to itself.
  const dashes = command === "npm start" ? " --" : "";
  const line = `exec ${command}${dashes} ${more.map((word) => `'${word}'`).join(" ")}`;
  const child = spawn("bash", ["-c", line], { cwd, env: cleanEnvironment(), detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const pid = child.pid;
  if (pid === undefined) throw new Error("bash cannot be started");
  let stdout = "";
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  const ended = once(child, "close").then(() => {});
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not up within ${READY_MS} ms:\n${stdout}${stderr}`)), READY_MS);
    child.stdout.on("data", (data: Buffer) => {
      stdout += data.toString();
      if (!stdout.includes("Ctrl-C drains and stops.")) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${code}:\n${stdout}${stderr}`));
    });
  });
  const http = /HTTP: +http:\/\/(\S+)/.exec(stdout)?.[1] ?? "";
  // It listens for signals right after it has printed; an answer comes after that.
  await fetch(`http://${http}/health`);
  return {
    grpc: /gRPC: +(\S+)/.exec(stdout)?.[1] ?? "",
    http,
    stdout: () => stdout,
    stderr: () => stderr,
    async ctrlC() {
      process.kill(-pid, "SIGINT");
      await ended;
    },
    pid,
    ended,
  };
}
