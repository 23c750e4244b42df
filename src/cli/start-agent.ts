// Opens the probe, makes the runners and starts the agent: what `agent` and `up` share.
import type { Logger } from "pino";
import { Agent } from "../agent/agent.js";
import { openProbe } from "../agent/probes/index.js";
import { restartByCommand } from "../agent/restart-command.js";
import { createRunners } from "../agent/runners/index.js";
import type { AgentConfig } from "../config/agent-config.js";
import { packageVersion } from "./package-version.js";

export interface StartedAgent {
  readonly agent: Agent;
  /** What was tried and found, for people. */
  readonly notes: readonly string[];
  readonly simulated: boolean;
  readonly gpuCount: number;
  readonly runnerNames: readonly string[];
}

/** Rejects with what to do when the configured probe cannot be used. `maySimulate`: whether "auto" may make GPUs up where there are none. */
export async function startAgent(config: AgentConfig, log: Logger, { maySimulate }: { readonly maySimulate: boolean }): Promise<StartedAgent> {
  const { probe, gpus, notes, devices } = await openProbe(config.nodeId, config.probe, { maySimulate, kernelLog: { note: (text, trouble) => (trouble ? log.warn(text) : log.info(text)) } });
  const runners = createRunners(config, devices, { onTrouble: (runner, trouble) => (trouble === "" ? log.info({ runner }, "runner is well again") : log.warn({ runner, trouble }, "runner has trouble")) });
  const { nodeId, routerAddress, credentials, restartCommand } = config;
  const agent = new Agent({ nodeId, routerAddress, credentials, version: packageVersion(), probe, gpus, runners, restartGpu: restartCommand && restartByCommand(restartCommand), log });
  agent.start();
  return { agent, notes, simulated: devices !== undefined, gpuCount: gpus.length, runnerNames: runners.map((runner) => runner.name) };
}
