// What operators and callers' servers see, through real processes: drains, restarts of GPUs, callbacks across kill -9.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { GpuState } from "../../gen/gpurouter/v1/gpu_pb.js";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { Receiver } from "../unit/callbacks/receiver.js";
import { afterThisTest, eventually, runCommand, startAgent, startRouter, temporaryFolder } from "./harness.js";

async function receiverOfThisTest(): Promise<Receiver> {
  const receiver = await new Receiver().listen();
  afterThisTest(() => receiver.close());
  return receiver;
}

describe("Callbacks", () => {
  test("a request's end is told with a signature that its receiver can verify, once more after kill -9 where it was not taken", async () => {
    const receiver = await receiverOfThisTest();
    receiver.answer = (response) => void response.writeHead(503).end();
    const router = await startRouter({ config: { callbacks: { allow: ["127.0.0.1"], ports: [receiver.port], retry_delay: 0.05 } } });
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: 20 });
    await router.client.route({ requestId: "told-1", modelId: "any", callbackUrl: receiver.url("/hook?token=secret") });
    await receiver.count(2);
    await router.process.kill();
    receiver.answer = (response) => void response.writeHead(204).end();
    const before = receiver.received.length;
    const second = await router.restart();
    await receiver.count(before + 1);
    const { headers, body } = receiver.received.at(-1)!;
    expect(new Set(receiver.received.map((each) => each.headers["webhook-id"])).size).toBe(1);
    const secret = readFileSync(path.join(router.data, "callback-secrets"), "utf8").trim();
    const expected = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64")).update(`${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`).digest("base64");
    expect(headers["webhook-signature"]).toBe(`v1,${expected}`);
    expect(JSON.parse(body)).toMatchObject({ type: "request.ended", data: { request: { request_id: "told-1", state: "REQUEST_STATE_COMPLETED", attempts: 1 } } });
    await eventually("nothing pending", async () => (await second.client.admin.listFailedCallbacks({})).pending === 0n);
    // Secrets in addresses are nobody's business.
    expect(router.process.stdout + second.process.stdout).not.toContain("token=secret");
  });

  test("an address inside is not called, and an operator sees why and can try again", async () => {
    const receiver = await receiverOfThisTest();
    const { client, grpcAddress } = await startRouter({ config: { callbacks: { ports: [receiver.port] } } });
    await startAgent({ nodeId: "node-a", router: grpcAddress, speed: 20 });
    await client.route({ requestId: "inside-1", modelId: "any", callbackUrl: receiver.url("/admin?x=1") });
    const failed = await eventually("a failed callback", async () => (await client.admin.listFailedCallbacks({})).callbacks[0]);
    expect(failed).toMatchObject({ requestId: "inside-1", eventType: "request.ended", url: receiver.url("/admin"), error: expect.stringContaining("not public") });
    const retried = await runCommand(["callbacks", "retry", `${failed.callbackId}`, "--router", grpcAddress]);
    expect(retried).toMatchObject({ exitCode: 0, stdout: "1 callback in line again\n" });
    await eventually("its next failure", async () => (await client.admin.listFailedCallbacks({})).failed === 1n);
    const { stdout: shown } = await runCommand(["callbacks", "failed", "--router", grpcAddress]);
    expect(shown).toContain("inside-1");
    expect(shown).toContain("1 given up, 0 still being tried");
    expect(receiver.received).toEqual([]);
  });
});

describe("Maintenance", () => {
  test("a drained GPU finishes its work, takes none, and stays out over a restart of the router", async () => {
    const router = await startRouter();
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus: 1 });
    const { gpus } = await router.client.gpuStatus({});
    const gpuId = gpus[0]?.gpuId ?? "";
    await router.client.route({ requestId: "runs", modelId: "any", type: "training", resourceRequirements: { expectedDurationMs: 3_000n } });
    const set = await runCommand(["maintenance", "set", gpuId, "--reason", "new fan", "--duration", "2h", "--router", router.grpcAddress]);
    expect(set).toMatchObject({ exitCode: 0, stderr: "" });
    await router.client.route({ requestId: "waits", modelId: "any" });
    const draining = (await router.client.gpuStatus({})).gpus[0];
    expect(draining).toMatchObject({ state: GpuState.DRAINING, stateReason: "maintenance by anonymous: new fan" });
    expect(draining?.maintenanceUntil).toBeDefined();
    await eventually("the end of what ran", async () => (await router.client.status({ requestId: "runs" })).request?.state === RequestState.COMPLETED);
    await router.process.kill();
    const second = await router.restart();
    const { maintenance } = await second.client.admin.listMaintenance({});
    expect(maintenance).toMatchObject([{ reason: "new fan", actor: { name: "anonymous" }, gpuIds: [gpuId] }]);
    expect((await second.client.status({ requestId: "waits" })).request?.state).toBe(RequestState.QUEUED);
    await eventually("an empty GPU", async () => (await second.client.gpuStatus({})).gpus[0]?.state === GpuState.MAINTENANCE);
    // Until its node is back, that is what is counted.
    await eventually("Explain to count what maintenance keeps away", async () => {
      const { decision } = await second.client.explain({ target: { case: "requestId", value: "waits" } });
      return decision?.filters.find(({ filter }) => filter === "maintenance")?.removed === 1;
    });
    await runCommand(["maintenance", "end", gpuId, "--router", second.grpcAddress]);
    await eventually("the end of who waited", async () => (await second.client.status({ requestId: "waits" })).request?.state === RequestState.COMPLETED);
  });
});

// Writes down what it was told, and fails where the test wants it to.
const RESTART = `
const fs = require("node:fs");
fs.appendFileSync(process.argv[1] + "/restarts", process.argv.slice(2).join(" ") + " " + process.env.GPU_ROUTER_GPU_ID + "\\n");
if (fs.existsSync(process.argv[1] + "/fail")) { console.error("In use by another client"); process.exit(3); }
`;

describe("Restart of a GPU", () => {
  test("the agent runs its operator's command with the GPU's id and nothing of the request, once, and the outcome is told", async () => {
    const folder = await temporaryFolder();
    const { client, grpcAddress } = await startRouter();
    await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 2, config: { gpu_restart_command: [process.execPath, "-e", RESTART, folder, "{gpu_id}", "{index}"] } });
    const gpuId = (await client.gpuStatus({})).gpus.find(({ index }) => index === 1)?.gpuId ?? "";
    const { exitCode, stdout } = await runCommand(["restart-gpu", gpuId, "--reason", "$(touch pwned)", "--wait", "--router", grpcAddress]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `restart of ${gpuId}: succeeded\n` });
    expect(readFileSync(path.join(folder, "restarts"), "utf8")).toBe(`${gpuId} 1 ${gpuId}\n`);
    const { restarts } = await client.admin.listMaintenance({});
    expect(restarts).toMatchObject([{ gpuId, reason: "$(touch pwned)", actor: { name: "anonymous" } }]);
    expect((await client.gpuStatus({})).gpus.map(({ state }) => state)).toEqual([GpuState.ACTIVE, GpuState.ACTIVE]);
  });

  test("a command that fails, and a node without one, say so", async () => {
    const folder = await temporaryFolder();
    const { client, grpcAddress } = await startRouter();
    await startAgent({ nodeId: "failing", router: grpcAddress, gpus: 1, config: { gpu_restart_command: [process.execPath, "-e", `${RESTART}process.exitCode = 3; console.error("In use by another client")`, folder] } });
    await startAgent({ nodeId: "bare", router: grpcAddress, gpus: 1 });
    const gpuOf = async (node: string): Promise<string> => (await client.gpuStatus({})).gpus.find(({ nodeId }) => nodeId === node)?.gpuId ?? "";
    const failed = await runCommand(["restart-gpu", await gpuOf("failing"), "--wait", "--router", grpcAddress]);
    expect(failed.exitCode).toBe(1);
    expect(failed.stdout).toContain("failed: The command ended with exit code 3. It said last: In use by another client");
    const refused = await runCommand(["restart-gpu", await gpuOf("bare"), "--router", grpcAddress]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain("the agent of bare has no gpu_restart_command in its configuration");
    const unasked = await runCommand(["restart-gpu", await gpuOf("failing"), "--force", "--router", grpcAddress]);
    expect(unasked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--yes") });
  });
});
