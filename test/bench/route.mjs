// Route through the whole stack against a bare grpc-js echo of the same messages, in turn, in one run.
//   waiting   Route to its answer while every GPU is taken: accepted, durable, in line
//   placed    Route to its answer with room on the GPUs: accepted, decided, durable, dispatched; agents hold the work
//   lives     whole lives: Route, dispatch over the agents' streams, started, finished, each step durable
//   relayed   lives through a bare grpc-js relay, which does nothing but send on: the most that lives could be
// 1,000 GPUs, journal on disk, 512-byte payloads, 256 calls in flight for all of them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { RouteRequestSchema } from "../../dist/gen/gpurouter/v1/router_pb.js";
import { frameFile, h2load } from "./load.mjs";
import { startChild } from "./processes.mjs";

export const GPUS = 1_000;
export const METHOD = "/gpurouter.v1.RouterService/Route";
/** As the executable sets them for itself; the echo gets the same. */
const NODE_FLAGS = ["--max-semi-space-size=64"];

export function routeBody() {
  return frameFile(toBinary(RouteRequestSchema, create(RouteRequestSchema, {
    userId: "bench", modelId: "llama-2-70b", priority: 3, type: "inference",
    payload: { case: "payloadBytes", value: new Uint8Array(512).fill(120) },
  })));
}

/**
 * A router with a fleet of `agents`; `slots` requests fit a GPU. With `keys`, which makes them in the data folder, everybody must show one.
 * `config` is added to its configuration; `prepare` is told its address and the keys before it is used.
 */
export async function withRouter({ agents, mode, slots, keys = () => ({}), config: more = [], prepare = () => {} }, use) {
  // Beside the project and not in a memory file system: commits must reach a disk.
  const data = mkdtempSync(path.join(process.cwd(), ".cache", "bench-"));
  const config = path.join(data, "config.yaml");
  writeFileSync(config, [
    "api: { port: 0, grpc_port: 0 }",
    `gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: ${slots} } }`,
    "request_router: { request_timeout: 0, max_queued_requests: 1000000 }",
    ...more,
  ].join("\n"));
  const made = await keys(path.join(data, "journal"));
  const { agent: agentKey, user: userKey } = made;
  const router = startChild([...NODE_FLAGS, "dist/src/cli/main.js", "serve", "--config", config, "--data", path.join(data, "journal")]);
  try {
    const headers = userKey ? [`authorization: Bearer ${userKey}`] : [];
    return await withFleet(router, { agents, mode, key: agentKey, prepare: (grpc) => prepare(grpc, made) }, (parts) => use({ ...parts, headers }));
  } finally {
    await router.stop("SIGKILL");
    rmSync(data, { recursive: true, force: true });
  }
}

async function withFleet(router, { agents, mode, key, prepare = () => {} }, use) {
  const { grpc, http } = await router.next((line) => line.grpc);
  await prepare(grpc);
  const fleet = startChild([...NODE_FLAGS, "test/bench/fleet.mjs", grpc, `${agents}`, `${GPUS / agents}`, mode], { env: { ...process.env, ...(key && { GPU_ROUTER_API_KEY: key }) } });
  const counts = { ended: 0 };
  fleet.on((line) => { counts.ended = line.ended ?? counts.ended; });
  try {
    await fleet.next((line) => line.connected === agents);
    return await use({ http, port: Number(grpc.split(":").pop()), fleet, counts, pid: router.child.pid });
  } finally {
    await fleet.stop("SIGKILL");
  }
}

async function withRelay(agents, use) {
  const relay = startChild([...NODE_FLAGS, "test/bench/relay-server.mjs"]);
  try {
    return await withFleet(relay, { agents, mode: "instant" }, use);
  } finally {
    await relay.stop("SIGKILL");
  }
}

async function withEcho(use) {
  const echo = startChild([...NODE_FLAGS, "test/bench/echo-server.mjs"]);
  try {
    return await use((await echo.next((line) => line.port)).port);
  } finally {
    await echo.stop("SIGKILL");
  }
}

/** Lives per second, from the first Route until the router has nothing left; the agents must have counted as many ends. */
export async function lives({ http, port, headers, fleet, counts }, body, requests) {
  const before = counts.ended;
  const startedAt = performance.now();
  await h2load({ port, method: METHOD, body, requests, headers });
  for (;;) {
    const { live_requests: left } = await (await fetch(`http://${http}/health`)).json();
    if (left === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const seconds = (performance.now() - startedAt) / 1000;
  for (const deadline = performance.now() + 5_000; counts.ended - before < requests && performance.now() < deadline; ) await fleet.next((line) => line.ended !== undefined);
  if (counts.ended - before !== requests) throw new Error(`${requests} sent, ${counts.ended - before} ended on the agents`);
  return requests / seconds;
}

/** Warms up with one run, then measures. */
async function warm(measure) {
  await measure();
  return measure();
}

export async function benchRoute({ requests, rounds, agents, onRound = () => {} }) {
  const body = routeBody();
  const call = (port) => h2load({ port, method: METHOD, body, requests });
  const scenarios = {
    waiting: () => withRouter({ agents, mode: "hold", slots: 1 }, async ({ port }) => {
      // Every slot is taken before anything is measured.
      await h2load({ port, method: METHOD, body, requests: Math.max(GPUS + 128, requests) });
      return call(port);
    }),
    placed: () => withRouter({ agents, mode: "hold", slots: 4_096 }, ({ port }) => warm(() => call(port))),
    lives: () => withRouter({ agents, mode: "instant", slots: 4_096 }, (parts) => warm(() => lives(parts, body, requests))),
    relayed: () => withRelay(agents, (parts) => warm(() => lives(parts, body, requests))),
  };
  const samples = { echo: [], waiting: [], placed: [], lives: [], relayed: [] };
  await withEcho(async (echoPort) => {
    await call(echoPort);
    for (let round = 0; round < rounds; round += 1) {
      const rates = {};
      for (const [name, measure] of Object.entries(scenarios)) {
        // An echo before and after each, so that the machine's moods fall on both.
        const before = await call(echoPort);
        rates[name] = await measure();
        const echo = (before + (await call(echoPort))) / 2;
        samples.echo.push({ rate: echo });
        samples[name].push({ rate: rates[name], ratio: rates[name] / echo });
      }
      onRound({ round, rates: { echo: samples.echo.at(-1).rate, ...rates } });
    }
  });
  return samples;
}
