// `gpu-router agent`: the options of the agent of one GPU node. What it does is in run-agent.ts, loaded only when it is asked for.
import type { Command } from "commander";
import { grace } from "./option-parsers.js";

export interface AgentOptions {
  readonly config?: string;
  readonly router?: string;
  readonly nodeId?: string;
  readonly grace: number;
}

/** Adds the command. */
export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("Run the agent of this GPU node")
    .option("-c, --config <file>", "configuration; see deploy/agent.example.yaml")
    .option("--router <address>", "host:port of the router (default: $GPU_ROUTER_ADDRESS, the configuration, 127.0.0.1:50051)")
    .option("--node-id <name>", "name of this node (default: $GPU_ROUTER_NODE_ID, the configuration, the host's name)")
    .option("--grace <seconds>", "how long running work may take when stopping", grace, 30)
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router agent
  $ gpu-router agent --config /etc/gpu-router/agent.yaml --router 127.0.0.1:50051`,
    )
    .action(async (options: AgentOptions) => (await import("./run-agent.js")).runAgent(options));
}
