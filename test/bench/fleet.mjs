// A benchmark fleet: many production agents in one process, each with simulated GPUs and a runner that either answers at
// once ("instant") or never ("hold"). Prints {"connected": n} as JSON when all are connected, {"ended": n} every second.
// Usage: node fleet.mjs ROUTER_ADDRESS AGENTS GPUS_PER_AGENT instant|hold, with a key in GPU_ROUTER_API_KEY where the router wants one
import { pino } from "pino";
import { Agent } from "../../dist/src/agent/agent.js";
import { SimulatedDevices } from "../../dist/src/agent/probes/simulated-devices.js";
import { SimulatedProbe } from "../../dist/src/agent/probes/simulated.js";

const [address, count, gpusPerAgent, mode] = process.argv.slice(2);
const credentials = { key: process.env.GPU_ROUTER_API_KEY ?? "", keyFile: "", ca: "", cert: "", certKey: "" };
const log = pino({ level: "warn" }, pino.destination(2));
const statistics = { runMs: 1, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };
const result = new Uint8Array(64);
let ended = 0;

function benchRunner() {
  return {
    name: "bench",
    kind: "simulated",
    describe: () => ({ models: ["*"], types: [], gpuIds: [] }),
    onChange: () => () => {},
    async run(_job, sink, _limits, signal) {
      sink.started();
      if (mode === "hold") await new Promise((resolve) => signal.addEventListener("abort", resolve));
      ended += 1;
      return { outcome: "succeeded", result, contentType: "application/octet-stream", statistics };
    },
    close: async () => {},
  };
}

const agents = Array.from({ length: Number(count) }, (_, index) => {
  const devices = new SimulatedDevices(`bench-${index}`, Array(Number(gpusPerAgent)).fill("H100-80GB"));
  const agent = new Agent({ nodeId: `bench-${index}`, routerAddress: address, credentials, version: "bench", probe: new SimulatedProbe(devices), gpus: devices.gpus, runners: [benchRunner()], log });
  agent.start();
  return agent;
});
const waiting = setInterval(() => {
  if (!agents.every((agent) => agent.connected)) return;
  clearInterval(waiting);
  console.log(JSON.stringify({ connected: agents.length }));
  setInterval(() => console.log(JSON.stringify({ ended })), 200);
}, 50);
process.stdin.resume().on("end", () => process.exit(0));
