// The router alone, for production. Logs JSON lines to stdout.
import { pino } from "pino";
import { loadRouterConfig, type RouterConfig } from "../config/router-config.js";
import { startDaemon } from "../router/daemon.js";
import { usable } from "./failure.js";
import { packageVersion } from "./package-version.js";
import type { ServeOptions } from "./serve.js";
import { exitOnJournalFailure, untilStopped } from "./until-stopped.js";

export async function runServe(options: ServeOptions): Promise<void> {
  const config = routerConfig(options);
  const log = pino({ level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime, base: { name: "gpu-router" } });
  const daemon = await startDaemon(config, packageVersion(), log, exitOnJournalFailure((text) => process.stderr.write(text)));
  const stopped = untilStopped(() => daemon.stop(options.grace * 1000), (text) => log.info(text));
  log.info({ grpc: daemon.grpcAddress, http: daemon.httpAddress, epoch: daemon.epoch, data: config.dataDirectory }, "listening");
  await stopped;
  log.info("stopped");
}

/** The configuration with the options of the command line over it. */
export function routerConfig(options: Pick<ServeOptions, "config" | "data" | "grpcPort" | "httpPort" | "record" | "hashUsers">): RouterConfig {
  const config = usable(() => loadRouterConfig(options.config, process.env));
  return {
    ...config,
    dataDirectory: options.data ?? config.dataDirectory,
    grpcPort: options.grpcPort ?? config.grpcPort,
    httpPort: options.httpPort ?? config.httpPort,
    recording: { ...config.recording, file: options.record ?? config.recording.file, hashUsers: options.hashUsers ?? config.recording.hashUsers },
  };
}
