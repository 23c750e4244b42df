// `gpu-router up`: the options of router and agent in one process. What it does is in run-up.ts, loaded only when it is asked for.
import type { Command } from "commander";
import { grace, port, wholeNumber } from "./option-parsers.js";

export interface UpOptions {
  readonly config?: string;
  readonly agentConfig?: string;
  readonly data?: string;
  readonly grpcPort?: number;
  readonly httpPort?: number;
  readonly record?: string;
  readonly hashUsers?: true;
  readonly simulate?: number;
  readonly json?: true;
  readonly grace: number;
}

/** Adds the command. */
export function registerUp(program: Command): void {
  program
    .command("up")
    .description("Run a router and an agent for this machine's GPUs (simulated ones where there are none)")
    .option("-c, --config <file>", "the router's configuration (default: $CONFIG_PATH, else config.yaml where there is one)")
    .option("--agent-config <file>", "the agent's configuration; see deploy/agent.example.yaml")
    .option("--data <folder>", "where the journal lies")
    .option("--grpc-port <port>", "gRPC port", port)
    .option("--http-port <port>", "HTTP port", port)
    .option("--record <file>", "record what comes and what is decided, without payloads, for `gpu-router whatif`")
    .option("--hash-users", "record users and sessions under other names")
    .option("--simulate <gpus>", "use this many simulated GPUs, whatever the machine has", wholeNumber(1, 1024))
    .option("--json", "one JSON line when ready instead of text")
    .option("--grace <seconds>", "how long running work may take when stopping", grace, 30)
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router up
  $ gpu-router up --simulate 8
  $ gpu-router up --agent-config agent.yaml          with vLLM, Ollama or commands of your own`,
    )
    .action(async (options: UpOptions) => (await import("./run-up.js")).runUp(options));
}
