// GPUs of real agents that crash under load: one, several at once, one that comes back. The GPUs are simulated, their Xid errors go the
// whole way.
import { appendFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { eventually, startAgent, startRouter, temporaryFolder, type RouterProcess } from "../../e2e/harness.js";
import { IN_ORDER, KILLS_CONFIG, unexpectedTrouble } from "./fleet.js";
import { Load } from "./load.js";
import { randomOf } from "./settings.js";

interface Fleet {
  readonly router: RouterProcess;
  readonly load: Load;
  /** Has the GPU `index` of node `node` fall off the bus. */
  crash(node: number, index: number): void;
  /** Requests on a GPU now. */
  active(gpuId: string): Promise<number>;
  finish(): Promise<void>;
}

/** Two nodes with four GPUs each, under load. */
async function startFleet(name: string, config: object = {}): Promise<Fleet> {
  const router = await startRouter({ config: { ...KILLS_CONFIG, ...config } });
  const folder = await temporaryFolder();
  const files = [0, 1].map((node) => path.join(folder, `events-${node}`));
  const agents = await Promise.all(files.map((eventsFile, node) => startAgent({ nodeId: `node-${node}`, router: router.grpcAddress, eventsFile })));
  const load = new Load({ router: router.grpcAddress, random: randomOf(name), concurrency: 32 });
  const active = async (gpuId: string): Promise<number> => (await router.client.gpuStatus({ gpuIds: [gpuId] })).gpus[0]?.activeRequests ?? 0;
  return {
    router,
    load,
    active,
    crash: (node, index) => appendFileSync(files[node] ?? "", `${index} xid 79\n`),
    async finish() {
      await load.finish(30_000);
      expect(load.ledger.verdict()).toMatchObject(IN_ORDER);
      expect(unexpectedTrouble([router.process, ...agents])).toEqual([]);
    },
  };
}

/** Resolves when the load has seen `count` more ends than now. */
async function moreEnds(load: Load, count: number): Promise<void> {
  const goal = load.ended + count;
  await eventually(`${count} more end`, () => load.ended >= goal, 30_000);
}

describe("A GPU crash under load", () => {
  test("of one GPU: its work ends elsewhere, and it gets no more", async () => {
    const { load, active, crash, finish } = await startFleet("one GPU");
    await eventually("it works", async () => (await active("sim-node-0-1")) > 0);
    crash(0, 1);
    await eventually("it is empty", async () => (await active("sim-node-0-1")) === 0);
    await moreEnds(load, 50);
    expect(await active("sim-node-0-1")).toBe(0);
    await finish();
  });

  test("of five of eight GPUs on two nodes at once: the others do it all", async () => {
    const { router, load, crash, finish } = await startFleet("several GPUs");
    await moreEnds(load, 10);
    const crashed = [[0, 0], [0, 1], [0, 2], [1, 2], [1, 3]] as const;
    for (const [node, index] of crashed) crash(node, index);
    const ids = crashed.map(([node, index]) => `sim-node-${node}-${index}`);
    await eventually("all five are empty", async () => (await router.client.gpuStatus({ gpuIds: ids })).gpus.every(({ activeRequests }) => activeRequests === 0));
    await moreEnds(load, 50);
    expect((await router.client.gpuStatus({ gpuIds: ids })).gpus.map(({ activeRequests }) => activeRequests)).toEqual([0, 0, 0, 0, 0]);
    await finish();
  });

  test("of one GPU that comes back: it works again after the cool-down", async () => {
    const { active, crash, finish } = await startFleet("restarted GPU", { error_handler: { gpu_cooldown_period: 2 } });
    await eventually("it works", async () => (await active("sim-node-1-0")) > 0);
    crash(1, 0);
    await eventually("it is empty", async () => (await active("sim-node-1-0")) === 0);
    await eventually("it works again", async () => (await active("sim-node-1-0")) > 0, 30_000);
    await finish();
  });
});
