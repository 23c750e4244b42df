// A router and an agent for this machine's GPUs in one process. What `npm start` runs.
import { pino, type Logger } from "pino";
import { isSimulatedRunner, loadAgentConfig, type AgentConfig } from "../config/agent-config.js";
import type { RouterConfig } from "../config/router-config.js";
import type { Principal } from "../auth/principal.js";
import { startDaemon, type Daemon } from "../router/daemon.js";
import { usable, usageFailure } from "./failure.js";
import { packageVersion } from "./package-version.js";
import { readyText, type ReadyFacts } from "./ready-text.js";
import { routerConfig } from "./run-serve.js";
import { startAgent, type StartedAgent } from "./start-agent.js";
import { styleFor } from "./style.js";
import { exitOnJournalFailure, untilStopped } from "./until-stopped.js";
import type { UpOptions } from "./up.js";

export async function runUp(options: UpOptions): Promise<void> {
  const config = routerConfig(options);
  const agentConfig = withSimulated(usable(() => loadAgentConfig(options.agentConfig, process.env)), options.simulate);
  // Only what needs attention: the terminal is for people here.
  const log = pino({ level: process.env["LOG_LEVEL"] ?? "warn", timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
  const daemon = await startDaemon(config, packageVersion(), log, exitOnJournalFailure((text) => process.stderr.write(text)));
  const started = await startOwnAgent(daemon, agentConfig, config, log).catch(async (error: unknown) => {
    await daemon.stop(0);
    throw error;
  });
  const ready = options.json ? readyJson(daemon, started, config.dataDirectory) : readyText(readyFacts(daemon, started, config, agentConfig), styleFor(process.stdout, process.env));
  // Signals are listened to before anybody is told that there is something to stop.
  const stopped = untilStopped(
    async () => {
      await started.agent.stop(options.grace * 1000);
      await daemon.stop(1_000);
    },
    (text) => process.stderr.write(`${text}\n`),
  );
  process.stdout.write(ready);
  await stopped;
}

async function startOwnAgent(daemon: Daemon, agentConfig: AgentConfig, config: RouterConfig, log: Logger): Promise<StartedAgent> {
  return startAgent({ ...agentConfig, ...wayToRouter(daemon, agentConfig, config) }, log, { maySimulate: true });
}

/** The agent of this process needs no key of its own. With TLS it goes the way of its configuration: the certificate is for that name. */
function wayToRouter(daemon: Daemon, { nodeId, routerAddress, credentials }: AgentConfig, { tls }: RouterConfig): Pick<AgentConfig, "routerAddress" | "credentials"> {
  if (tls.cert !== "" && credentials.ca === "") throw usageFailure("tls is configured: say in the agent's configuration how to reach the router by its name, with router_address and router.ca_file");
  const key = daemon.ownKey({ name: nodeId as Principal["name"], roles: ["agent"], team: "", nodeIds: [nodeId], via: "key", credential: "" });
  const here = daemon.grpcAddress.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^(\[::\]|::):/, "[::1]:");
  return { routerAddress: tls.cert === "" ? here : routerAddress, credentials: { ...credentials, key } };
}

/** `--simulate N` over the agent's configuration. */
function withSimulated(config: AgentConfig, gpus: number | undefined): AgentConfig {
  if (gpus === undefined) return config;
  return { ...config, probe: { ...config.probe, mode: "simulated", recordedPath: "", simulated: { ...config.probe.simulated, gpus } } };
}

function readyJson(daemon: Daemon, started: StartedAgent, data: string): string {
  const { notes, simulated, gpuCount, runnerNames } = started;
  return `${JSON.stringify({ grpc: daemon.grpcAddress, http: daemon.httpAddress, epoch: daemon.epoch, data, gpus: gpuCount, simulated, runners: runnerNames, notes })}\n`;
}

function readyFacts(daemon: Daemon, { notes, simulated, runnerNames }: StartedAgent, { dataDirectory, tls }: RouterConfig, { runners }: AgentConfig): ReadyFacts {
  const { grpcAddress: grpc, httpAddress: http, wantsKeys, liveRequests } = daemon;
  const [model = "demo"] = (typeof runners.simulated === "object" && runners.simulated?.models) || [];
  return { grpc, http, tls: tls.cert !== "", wantsKeys, data: dataDirectory, liveRequests, runnerNames, madeUp: simulated && runnerNames.some(isSimulatedRunner), model, notes };
}
