// The agent of one GPU node. Logs JSON lines to stdout.
import { pino } from "pino";
import { loadAgentConfig } from "../config/agent-config.js";
import type { AgentOptions } from "./agent.js";
import { usable } from "./failure.js";
import { startAgent } from "./start-agent.js";
import { untilStopped } from "./until-stopped.js";

export async function runAgent(options: AgentOptions): Promise<void> {
  const env = {
    ...process.env,
    ...(options.router === undefined ? {} : { GPU_ROUTER_ADDRESS: options.router }),
    ...(options.nodeId === undefined ? {} : { GPU_ROUTER_NODE_ID: options.nodeId }),
  };
  const config = usable(() => loadAgentConfig(options.config, env));
  const log = pino({ level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime, base: { name: "gpu-router-agent", node: config.nodeId } });
  const { agent, notes, simulated, runnerNames } = await startAgent(config, log, { maySimulate: false });
  for (const note of notes) log.info({ simulated }, note);
  log.info({ router: config.routerAddress, runners: runnerNames }, "agent started");
  await untilStopped(() => agent.stop(options.grace * 1000), (text) => log.info(text));
}
