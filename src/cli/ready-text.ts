// What `up` prints once it is up: what it found, where it listens, and lines to copy that work as they stand.
import type { Style } from "./style.js";

/** Of the router and the agent that were started. */
export interface ReadyFacts {
  /** host:port. */
  readonly grpc: string;
  readonly http: string;
  /** Both ports speak TLS. */
  readonly tls: boolean;
  /** Every call must say who it is from. */
  readonly wantsKeys: boolean;
  readonly data: string;
  readonly liveRequests: number;
  readonly runnerNames: readonly string[];
  /** Results are made up. */
  readonly madeUp: boolean;
  /** A model that made-up results can be had of. */
  readonly model: string;
  /** What was tried and found, for people. */
  readonly notes: readonly string[];
}

/** The whole text, ending in a line break. */
export function readyText(facts: ReadyFacts, style: Style): string {
  const { grpc, http, tls, data, liveRequests, runnerNames, madeUp, notes } = facts;
  return [
    "",
    style.bold("gpu-router is up."),
    "",
    ...notes.map((note) => `  ${note}`),
    ...(madeUp ? [style.yellow("  Simulated GPUs answer with made-up results. Give real runners with --agent-config.")] : []),
    `  Runners:  ${runnerNames.length > 0 ? runnerNames.join(", ") : "none yet: name some in an agent configuration (deploy/agent.example.yaml)"}`,
    `  gRPC:     ${grpc}`,
    `  HTTP:     ${tls ? "https" : "http"}://${http}   (Connect, gRPC-Web, /health)`,
    `  Journal:  ${data}${liveRequests > 0 ? `, ${liveRequests} requests taken up again` : ""}`,
    "",
    style.bold("Try it:"),
    ...linesToTry(facts).map((line) => `  ${line}`),
    "",
    "Ctrl-C drains and stops.",
    "",
  ].join("\n");
}

function linesToTry({ grpc, http, tls, wantsKeys, madeUp, model: simulated }: ReadyFacts): readonly string[] {
  const port = grpc.split(":").pop() ?? "";
  const model = madeUp ? simulated : "YOUR-MODEL";
  const key = wantsKeys ? ["export GPU_ROUTER_API_KEY=…   # this router has users or keys: see docs/security.md"] : [];
  // With TLS the router is known by the name in its certificate, which is not ours to guess.
  const router = tls ? ` --router NAME:${port} --ca FILE` : port === "50051" ? "" : ` --router localhost:${port}`;
  const commands = [`npx gpu-router route --model ${model} --payload '{"prompt":"hello"}' --wait${router}`, `npx gpu-router gpus --watch${router}`];
  if (tls) return [...key, ...commands];
  const grpcurl = `grpcurl -plaintext${wantsKeys ? ' -H "authorization: Bearer $GPU_ROUTER_API_KEY"' : ""}`;
  const curl = wantsKeys ? ' -H "authorization: Bearer $GPU_ROUTER_API_KEY"' : "";
  return [
    ...key,
    `${grpcurl} localhost:${port} list`,
    `${grpcurl} -d '{"model_id":"${model}","payload_json":{"prompt":"hello"}}' localhost:${port} gpurouter.v1.RouterService/Route`,
    `curl -s http://${http}/gpurouter.v1.RouterService/GpuStatus -H 'content-type: application/json'${curl} -d '{}'`,
    ...commands,
  ];
}
