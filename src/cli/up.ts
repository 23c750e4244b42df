// `gpu-router up`: a router and an agent for this machine's GPUs in one process. What `npm start` runs.
import type { Command } from "commander";
import { pino } from "pino";
import { loadAgentConfig } from "../config/agent-config.js";
import { loadRouterConfig } from "../config/router-config.js";
import { startDaemon, type Daemon } from "../router/daemon.js";
import { usable, withOverrides } from "./serve.js";
import { startAgent, type StartedAgent } from "./start-agent.js";
import { styleFor, type Style } from "./style.js";
import { exitOnJournalFailure, untilStopped } from "./until-stopped.js";

interface UpOptions {
  readonly config?: string;
  readonly agentConfig?: string;
  readonly data?: string;
  readonly grpcPort?: string;
  readonly httpPort?: string;
  readonly simulate?: string;
  readonly json?: true;
  readonly grace: string;
}

/** Adds the command. */
export function registerUp(program: Command): void {
  program
    .command("up")
    .description("Run a router and an agent for this machine's GPUs (simulated ones where there are none)")
    .option("-c, --config <file>", "the router's configuration (default: $CONFIG_PATH, else config.yaml where there is one)")
    .option("--agent-config <file>", "the agent's configuration; see deploy/agent.example.yaml")
    .option("--data <folder>", "where the journal lies")
    .option("--grpc-port <port>", "gRPC port")
    .option("--http-port <port>", "HTTP port")
    .option("--simulate <gpus>", "use this many simulated GPUs, whatever the machine has")
    .option("--json", "one JSON line when ready instead of text")
    .option("--grace <seconds>", "how long running work may take when stopping", "30")
    .addHelpText(
      "after",
      `
Examples:
  $ gpu-router up
  $ gpu-router up --simulate 8
  $ gpu-router up --agent-config agent.yaml          with vLLM, Ollama or commands of your own`,
    )
    .action(async (options: UpOptions) => {
      const config = withOverrides(usable(() => loadRouterConfig(options.config, process.env)), options);
      const written = usable(() => loadAgentConfig(options.agentConfig, process.env));
      // Only what needs attention: the terminal is for people here.
      const log = pino({ level: process.env["LOG_LEVEL"] ?? "warn", timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
      const daemon = await startDaemon(config, log, exitOnJournalFailure((text) => process.stderr.write(text)));
      const probe = options.simulate === undefined ? written.probe : { ...written.probe, mode: "simulated" as const, simulated: { ...written.probe.simulated, gpus: Number(options.simulate) } };
      const started = await startAgent({ ...written, probe, routerAddress: daemon.grpcAddress }, log);
      process.stdout.write(options.json ? readyJson(daemon, started, config.dataDirectory) : readyText(daemon, started, config.dataDirectory, styleFor(process.stdout, process.env)));
      await untilStopped(
        async () => {
          await started.agent.stop(Number(options.grace) * 1000);
          await daemon.stop(1_000);
        },
        (text) => process.stderr.write(`${text}\n`),
      );
    });
}

function readyJson(daemon: Daemon, started: StartedAgent, data: string): string {
  const { notes, simulated, gpuCount, runnerNames } = started;
  return `${JSON.stringify({ grpc: daemon.grpcAddress, http: daemon.httpAddress, epoch: daemon.epoch, data, gpus: gpuCount, simulated, runners: runnerNames, notes })}\n`;
}

function readyText(daemon: Daemon, { notes, simulated, runnerNames }: StartedAgent, data: string, style: Style): string {
  const port = daemon.grpcAddress.split(":").pop();
  const host = `localhost:${port}`;
  const route = `{"model_id":"${simulated ? "demo" : "YOUR-MODEL"}","payload_json":{"prompt":"hello"}}`;
  return [
    "",
    style.bold("gpu-router is up."),
    "",
    ...notes.map((note) => `  ${note}`),
    ...(simulated ? [style.yellow("  Simulated GPUs answer with made-up results. Give real runners with --agent-config.")] : []),
    `  Runners:  ${runnerNames.length > 0 ? runnerNames.join(", ") : "none yet: name some in an agent configuration (deploy/agent.example.yaml)"}`,
    `  gRPC:     ${daemon.grpcAddress}`,
    `  HTTP:     http://${daemon.httpAddress}   (Connect, gRPC-Web, /health)`,
    `  Journal:  ${data}${daemon.liveRequests > 0 ? `, ${daemon.liveRequests} requests taken up again` : ""}`,
    "",
    style.bold("Try it:"),
    `  grpcurl -plaintext ${host} list`,
    `  grpcurl -plaintext -d '${route}' ${host} gpurouter.v1.RouterService/Route`,
    `  curl -s http://${daemon.httpAddress}/gpurouter.v1.RouterService/GpuStatus -H 'content-type: application/json' -d '{}'`,
    `  npx gpu-router route --model demo --payload '{"prompt":"hello"}' --wait`,
    "  npx gpu-router gpus --watch",
    "",
    "Ctrl-C drains and stops.",
    "",
  ].join("\n");
}
