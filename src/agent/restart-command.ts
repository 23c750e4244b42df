// The one command that the operator of a node has configured to restart its GPUs. Called by gpu-restarts.ts. Nothing of an order reaches a
// program path or a shell: it names a GPU of this node, whose id and place the command's arguments may ask for.
import type { RestartGpu } from "./gpu-restarts.js";
import { ProcessTree, type ProcessEnd } from "./runners/exec/process-tree.js";
import { TailBuffer } from "./runners/exec/tail-buffer.js";

export interface RestartCommand {
  /** Program and arguments; `{gpu_id}` and `{index}` in the arguments stand for the GPU. */
  readonly argv: readonly [string, ...string[]];
  readonly timeoutMs: number;
}

const OUTPUT_TAIL_BYTES = 1024;
const KILL_GRACE_MS = 5_000;
/** Of the agent's environment, what a program needs to run at all. */
const INHERITED = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

/** Restarts GPUs with `command`. */
export function restartByCommand({ argv, timeoutMs }: RestartCommand): RestartGpu {
  return ({ restartId, gpuId, index }) => {
    const [program, ...rest] = argv;
    const tail = new TailBuffer(OUTPUT_TAIL_BYTES);
    const env: Record<string, string> = { GPU_ROUTER_GPU_ID: gpuId, GPU_ROUTER_RESTART_ID: restartId };
    for (const name of INHERITED) if (process.env[name] !== undefined) env[name] = process.env[name];
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
    const timer = setTimeout(() => tree.stop(), timeoutMs);
    const ended = tree.ended.then((end) => {
      clearTimeout(timer);
      const well = end.kind === "exited" && end.exitCode === 0 && !end.stopped;
      const said = tail.bytes().toString("utf8").trim();
      return { well, message: [well ? "" : endText(end, timeoutMs), said].filter((part) => part !== "").join(" It said last: ") };
    });
    return { ended, stop: () => tree.stop() };
  };
}

function endText(end: ProcessEnd, timeoutMs: number): string {
  if (end.kind === "not_spawned") return `The command could not be started: ${end.error.message}.`;
  if (end.stopped) return `The command was stopped: it had not ended within ${timeoutMs / 1000} s, or the agent was stopping.`;
  return end.kind === "exited" ? `The command ended with exit code ${end.exitCode}.` : `The command was ended by ${end.signal}.`;
}
