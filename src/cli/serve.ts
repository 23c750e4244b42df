// `gpu-router serve`: the router alone, for production. Logs JSON lines to stdout; agents connect from elsewhere on this host.
import type { Command } from "commander";
import { pino } from "pino";
import { loadRouterConfig } from "../config/router-config.js";
import { startDaemon } from "../router/daemon.js";
import { CliFailure } from "./failure.js";
import { exitOnJournalFailure, untilStopped } from "./until-stopped.js";

interface ServeOptions {
  readonly config?: string;
  readonly data?: string;
  readonly grpcPort?: string;
  readonly httpPort?: string;
  readonly grace: string;
}

/** Adds the command. */
export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("Run the router alone; agents connect to it")
    .option("-c, --config <file>", "configuration (default: $CONFIG_PATH, else config.yaml where there is one)")
    .option("--data <folder>", "where the journal lies")
    .option("--grpc-port <port>", "gRPC port")
    .option("--http-port <port>", "HTTP port")
    .option("--grace <seconds>", "how long calls under way may take when stopping", "5")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router serve --config /etc/gpu-router/router.yaml
  $ gpu-router serve --data /var/lib/gpu-router | jq .
  $ gpu-router agent --router 127.0.0.1:50051        in another terminal`,
    )
    .action(async (options: ServeOptions) => {
      const config = withOverrides(usable(() => loadRouterConfig(options.config, process.env)), options);
      const log = pino({ level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime, base: { name: "gpu-router" } });
      const daemon = await startDaemon(config, log, exitOnJournalFailure((text) => process.stderr.write(text)));
      log.info({ grpc: daemon.grpcAddress, http: daemon.httpAddress, epoch: daemon.epoch, data: config.dataDirectory }, "listening");
      await untilStopped(() => daemon.stop(Number(options.grace) * 1000), (text) => log.info(text));
      log.info("stopped");
    });
}

/** Options of the command line over a configuration. */
export function withOverrides<T extends { readonly dataDirectory: string; readonly grpcPort: number; readonly httpPort: number }>(
  config: T,
  options: Pick<ServeOptions, "data" | "grpcPort" | "httpPort">,
): T {
  return {
    ...config,
    dataDirectory: options.data ?? config.dataDirectory,
    grpcPort: options.grpcPort === undefined ? config.grpcPort : portOf(options.grpcPort, "--grpc-port"),
    httpPort: options.httpPort === undefined ? config.httpPort : portOf(options.httpPort, "--http-port"),
  };
}

function portOf(text: string, option: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new CliFailure(`${option} must be 0 to 65535: it is "${text}".`, 2);
  return port;
}

/** What `load` gives; its error as a failure with its own words. */
export function usable<T>(load: () => T): T {
  try {
    return load();
  } catch (error) {
    throw new CliFailure(error instanceof Error ? error.message : String(error), 2);
  }
}
