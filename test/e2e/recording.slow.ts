// A real router that is recorded under load, then stopped or killed: what it decided is decided again from the file.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../src/api/client.js";
import { eventually, runCommand, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";

const ENDED: ReadonlySet<RequestState | undefined> = new Set([RequestState.COMPLETED, RequestState.FAILED, RequestState.CANCELLED]);
const REQUESTS = 60;

async function recorded(recording: object = {}): Promise<{ readonly router: RouterProcess; readonly file: string }> {
  const file = path.join(await temporaryFolder(), "life.rec");
  const router = await startRouter({ config: { load_balancer: { strategy: "hybrid" }, recording: { file, ...recording } } });
  await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus: 3, speed: 200 });
  await startAgent({ nodeId: "node-b", router: router.grpcAddress, gpus: 1, speed: 200 });
  return { router, file };
}

/** Sends requests all at once, looks at some, cancels one, waits for their ends. */
async function work(client: RouterClient, name: string): Promise<void> {
  const ids = Array.from({ length: REQUESTS }, (_, index) => `${name}-${index}`);
  await Promise.all(
    ids.map((requestId, index) =>
      client.route({
        requestId,
        userId: `caller-${index % 4}`,
        modelId: "llama-3.1-8b",
        priority: 1 + (index % 5),
        resourceRequirements: { inputTokens: 200 + 10 * index, outputTokens: 20 + index },
        payload: { case: "payloadJson", value: { prompt: "a private thing" } },
      }),
    ),
  );
  await client.explain({ target: { case: "dryRun", value: { modelId: "another" } } });
  await client.cancel({ requestId: ids[REQUESTS - 1]!, reason: "a private reason" });
  await eventually("the end of all requests", async () => {
    const states = await Promise.all(ids.map(async (requestId) => (await client.status({ requestId })).request?.state));
    return states.every((state) => ENDED.has(state));
  });
}

interface Verified {
  readonly decisions: number;
  readonly equalDecisions: number;
  readonly ending: { readonly kind: string };
  readonly digest: { readonly recorded: number; readonly remade: number } | null;
  readonly difference: unknown;
}

async function verified(file: string): Promise<Verified> {
  const { exitCode, stdout, stderr } = await runCommand(["whatif", file, "--verify", "--json"]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(stdout) as Verified;
}

describe("A router that is recorded", () => {
  test("decided what is decided again from its recording, and so did the next one, which began with its journal", async () => {
    const { router, file } = await recorded();
    await work(router.client, "first");
    expect(await router.process.stop()).toBe(0);
    const first = await verified(file);
    expect(first).toMatchObject({ difference: null, ending: { kind: "stopped" } });
    expect(first.equalDecisions).toBe(first.decisions);
    expect(first.decisions).toBeGreaterThanOrEqual(REQUESTS - 1);
    expect(first.digest?.remade).toBe(first.digest?.recorded);

    const again = await router.restart();
    await eventually("the agents are back", async () => (await again.client.gpuStatus({})).gpus.every(({ telemetryAgeMs }) => telemetryAgeMs !== undefined));
    await work(again.client, "second");
    await again.process.stop();
    const second = await verified(file);
    expect(second).toMatchObject({ difference: null, ending: { kind: "stopped" } });
    expect(second.decisions).toBeGreaterThanOrEqual(REQUESTS - 1);
    expect(await verified(`${file}.previous`)).toMatchObject({ decisions: first.decisions });

    const { exitCode, stdout } = await runCommand(["whatif", file, "--strategy", "least_loaded"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("hybrid, as recorded");
  });

  test("leaves what can be verified when it is killed, and its next life, which begins in the middle of work, too", async () => {
    const { router, file } = await recorded({ hash_users: true });
    await work(router.client, "first");
    const long = Array.from({ length: REQUESTS }, (_, index) => ({ requestId: `long-${index}`, modelId: "llama-3.1-8b", timeoutMs: 600_000n, resourceRequirements: { inputTokens: 100, outputTokens: 20_000 } }));
    await Promise.all(long.map((request) => router.client.route(request)));
    await router.process.kill();
    expect(await verified(file)).toMatchObject({ difference: null, ending: { kind: "cut" } });
    const again = await router.restart();
    const { request } = await again.client.status({ requestId: "long-0" });
    expect(ENDED.has(request?.state)).toBe(false);
    await eventually("the agents are back", async () => (await again.client.gpuStatus({})).gpus.every(({ telemetryAgeMs }) => telemetryAgeMs !== undefined));
    await Promise.all(long.map(({ requestId }) => again.client.cancel({ requestId, reason: "enough" })));
    await work(again.client, "second");
    await again.process.stop();
    const second = await verified(file);
    expect(second).toMatchObject({ difference: null, ending: { kind: "stopped" } });
    expect(second.decisions).toBeGreaterThanOrEqual(REQUESTS - 1);
    const text = await readFile(file, "latin1");
    for (const secret of ["a private thing", "a private reason", "caller-1"]) expect(text).not.toContain(secret);
  });
});
