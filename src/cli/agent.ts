// `gpu-router agent`: the agent of one GPU node. Logs JSON lines to stdout.
import type { Command } from "commander";
import { pino } from "pino";
import { loadAgentConfig } from "../config/agent-config.js";
import { usable } from "./serve.js";
import { startAgent } from "./start-agent.js";
import { untilStopped } from "./until-stopped.js";

interface AgentOptions {
  readonly config?: string;
  readonly router?: string;
  readonly nodeId?: string;
  readonly grace: string;
}

/** Adds the command. */
export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("Run the agent of this GPU node")
    .option("-c, --config <file>", "configuration; see deploy/agent.example.yaml")
    .option("--router <address>", "host:port of the router (default: $GPU_ROUTER_ADDRESS, the configuration, 127.0.0.1:50051)")
    .option("--node-id <name>", "name of this node (default: $GPU_ROUTER_NODE_ID, the configuration, the host's name)")
    .option("--grace <seconds>", "how long running work may take when stopping", "30")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router agent
  $ gpu-router agent --config /etc/gpu-router/agent.yaml --router 127.0.0.1:50051`,
    )
    .action(async (options: AgentOptions) => {
      const env = {
        ...process.env,
        ...(options.router === undefined ? {} : { GPU_ROUTER_ADDRESS: options.router }),
        ...(options.nodeId === undefined ? {} : { GPU_ROUTER_NODE_ID: options.nodeId }),
      };
      const config = usable(() => loadAgentConfig(options.config, env));
      const log = pino({ level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime, base: { name: "gpu-router-agent", node: config.nodeId } });
      const { agent, notes, simulated, runnerNames } = await startAgent(config, log);
      for (const note of notes) log.info({ simulated }, note);
      log.info({ router: config.routerAddress, runners: runnerNames }, "agent started");
      await untilStopped(() => agent.stop(Number(options.grace) * 1000), (text) => log.info(text));
    });
}
