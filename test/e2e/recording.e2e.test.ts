// A real router that is recorded under load, stopped or killed: what it decided is decided again from the file.
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { expect } from "@jest/globals";
import type { RouterClient } from "../../src/api/client.js";
import { eventually, runCommand, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";
import { testWithBuild } from "./requirement.js";

const USERS = 4;

async function recorded(config: object = {}): Promise<{ readonly router: RouterProcess; readonly file: string }> {
  const file = path.join(await temporaryFolder(), "life.rec");
  const router = await startRouter({ config: { load_balancer: { strategy: "hybrid" }, recording: { file, ...config } } });
  await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus: 4, speed: 200 });
  await startAgent({ nodeId: "node-b", router: router.grpcAddress, gpus: 2, speed: 200 });
  return { router, file };
}

/** Sends requests all at once and waits for their ends. */
async function work(client: RouterClient, prefix: string, count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  await Promise.all(
    ids.map((requestId, index) =>
      client.route({
        requestId,
        userId: `user-${index % USERS}`,
        modelId: "llama-3.1-8b",
        priority: 1 + (index % 5),
        resourceRequirements: { inputTokens: 200 + 10 * index, outputTokens: 20 + index },
        payload: { case: "payloadJson", value: { prompt: "a secret" } },
      }),
    ),
  );
  await eventually("the end of all requests", async () => {
    const states = await Promise.all(ids.map(async (requestId) => (await client.status({ requestId })).request?.state));
    return states.every((state) => state !== undefined && state >= 4);
  });
}
