// The environment of a command: what it needs, what the operator listed, what tells it of its attempt. Called by `exec.ts`.
import type { Job } from "../runner.js";
import type { Account } from "./account.js";

/** Taken from the agent's own environment; nothing else is, so its secrets stay with it. */
const INHERITED = ["PATH", "HOME", "LANG"];
/** The same where it runs under another account: the rest is that one's own. */
const INHERITED_BY_OTHERS = ["LANG"];
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Where the programs of commands are looked up; `otherAccount`: it runs as somebody else than the agent. */
export function searchPath(listed: Readonly<Record<string, string>>, agentEnv: NodeJS.ProcessEnv, otherAccount: boolean): string {
  return listed["PATH"] ?? (otherAccount ? undefined : agentEnv["PATH"]) ?? DEFAULT_PATH;
}

/**
 * The whole environment of an attempt. `directory` is its private temporary directory; `resultFile` is where a result may be
 * written; `account` is the other one under which it runs, if it does. What pins the GPU and names the attempt comes last and cannot
 * be overridden.
 */
export function commandEnvironment(
  listed: Readonly<Record<string, string>>,
  agentEnv: NodeJS.ProcessEnv,
  job: Job,
  directory: string,
  resultFile: string,
  account: Account | null,
): Record<string, string> {
  const inherited = (account ? INHERITED_BY_OTHERS : INHERITED).flatMap((name) => (agentEnv[name] === undefined ? [] : [[name, agentEnv[name]] as const]));
  return {
    PATH: DEFAULT_PATH,
    ...Object.fromEntries(inherited),
    ...(account && { HOME: account.home || directory, USER: account.name, LOGNAME: account.name, SHELL: "/bin/sh" }),
    TMPDIR: directory,
    ...listed,
    // UUIDs of GPUs and of MIG instances alike. By PCI order, so that an index in a log means what nvidia-smi means.
    CUDA_VISIBLE_DEVICES: job.gpuIds.join(","),
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    GPU_ROUTER_REQUEST_ID: job.requestId,
    GPU_ROUTER_ATTEMPT: String(job.attempt),
    GPU_ROUTER_CONTINUES: job.continues ? "1" : "0",
    GPU_ROUTER_MODEL_ID: job.modelId,
    GPU_ROUTER_GPU_ID: job.gpuIds[0] ?? "",
    GPU_ROUTER_GPU_IDS: job.gpuIds.join(","),
    GPU_ROUTER_RESULT_FILE: resultFile,
  };
}
