// Route through the whole stack against a bare grpc-js echo of the same messages, in turn, in one run.
//   answered: Route to its answer, every request placed and dispatched, agents hold the work
//   lives:    whole lives: Route, dispatch over the agents' streams, started, finished, all durable
// 1,000 GPUs on 125 agents, journal on disk, 512-byte payloads.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { RouteRequestSchema } from "../../dist/gen/gpurouter/v1/router_pb.js";
import { connectRouter } from "../../dist/src/api/client.js";
import { frameFile, h2load } from "./load.mjs";
import { startChild } from "./processes.mjs";

const AGENTS = 125;
const METHOD = "/gpurouter.v1.RouterService/Route";

function routeBody() {
  return frameFile(toBinary(RouteRequestSchema, create(RouteRequestSchema, {
    userId: "bench", modelId: "llama-2-70b", priority: 3, type: "inference",
    payload: { case: "payloadBytes", value: new Uint8Array(512).fill(120) },
  })));
}

async function withRouter(mode, use) {
  // Beside the project and not in a memory file system: commits must reach a disk.
  const data = mkdtempSync(path.join(process.cwd(), ".cache", "bench-"));
  const config = path.join(data, "config.yaml");
  // Slots for every request of a run: a request that waits would be cheaper than one that is placed.
  writeFileSync(config, "api: { port: 0, grpc_port: 0 }\ngpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 4096 } }\nrequest_router: { request_timeout: 0 }\nlog_level: info\n");
  const router = startChild(["dist/src/cli/main.js", "serve", "--config", config, "--data", path.join(data, "journal")]);
  try {
    const { grpc } = await router.next((line) => line.grpc);
    const fleet = startChild(["test/bench/fleet.mjs", grpc, `${AGENTS}`, mode]);
    try {
      await fleet.next((line) => line.connected === AGENTS);
      const counts = { ended: 0 };
      fleet.on((line) => { counts.ended = line.ended ?? counts.ended; });
      return await use({ address: grpc, port: Number(grpc.split(":").pop()), fleet, counts });
    } finally {
      await fleet.stop("SIGKILL");
    }
  } finally {
    await router.stop("SIGKILL");
    rmSync(data, { recursive: true, force: true });
  }
}

async function withEcho(use) {
  const echo = startChild(["test/bench/echo-server.mjs"]);
  try {
    return await use((await echo.next((line) => line.port)).port);
  } finally {
    await echo.stop("SIGKILL");
  }
}

/** Lives per second: from the first Route to the last end, counted where the work ends and checked against the router. */
async function lives({ address, port, fleet, counts }, body, requests) {
  const before = counts.ended;
  const startedAt = performance.now();
  await h2load({ port, method: METHOD, body, requests });
  const client = connectRouter(address);
  try {
    // The router's own word that nothing is left, not the agents'.
    for (;;) {
      const { requests: live } = await client.list({ states: [1, 2], pageSize: 1 });
      if (live.length === 0) break;
    }
  } finally {
    client.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  for (const deadline = performance.now() + 5_000; counts.ended - before < requests && performance.now() < deadline; ) await fleet.next((line) => line.ended !== undefined);
  if (counts.ended - before !== requests) throw new Error(`${requests} sent, ${counts.ended - before} ended on the agents`);
  return requests / seconds;
}

export async function benchRoute({ requests, rounds, onRound = () => {} }) {
  const body = routeBody();
  const samples = { echo: [], answered: [], lives: [] };
  await withEcho(async (echoPort) => {
    await h2load({ port: echoPort, method: METHOD, body, requests });
    for (let round = 0; round < rounds; round += 1) {
      const echo = await h2load({ port: echoPort, method: METHOD, body, requests });
      const answered = await withRouter("hold", async ({ port }) => {
        await h2load({ port, method: METHOD, body, requests });
        return h2load({ port, method: METHOD, body, requests });
      });
      const echoAgain = await h2load({ port: echoPort, method: METHOD, body, requests });
      const whole = await withRouter("instant", async (parts) => {
        await lives(parts, body, requests);
        return lives(parts, body, requests);
      });
      samples.echo.push(echo, echoAgain);
      samples.answered.push({ rate: answered, ratio: answered / echo });
      samples.lives.push({ rate: whole, ratio: whole / echoAgain });
      onRound({ round, echo, echoAgain, answered, lives: whole });
    }
  });
  return samples;
}
