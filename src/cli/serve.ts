// `gpu-router serve`: the options of the router alone. What it does is in run-serve.ts, loaded only when it is asked for.
import type { Command } from "commander";
import { grace, port } from "./option-parsers.js";

export interface ServeOptions {
  readonly config?: string;
  readonly data?: string;
  readonly grpcPort?: number;
  readonly httpPort?: number;
  readonly record?: string;
  readonly hashUsers?: true;
  readonly grace: number;
}

/** Adds the command. */
export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("Run the router alone; agents connect to it")
    .option("-c, --config <file>", "configuration (default: $CONFIG_PATH, else config.yaml where there is one)")
    .option("--data <folder>", "where the journal lies")
    .option("--grpc-port <port>", "gRPC port", port)
    .option("--http-port <port>", "HTTP port", port)
    .option("--record <file>", "record what comes and what is decided, without payloads, for `gpu-router whatif`")
    .option("--hash-users", "record users and sessions under other names")
    .option("--grace <seconds>", "how long calls under way may take when stopping", grace, 5)
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router serve --config /etc/gpu-router/router.yaml
  $ gpu-router serve --data /var/lib/gpu-router | jq .
  $ gpu-router agent --router 127.0.0.1:50051        in another terminal`,
    )
    .action(async (options: ServeOptions) => (await import("./run-serve.js")).runServe(options));
}
