// A disk that fills up, on a file system of 4 MB: new work is refused in time, accepted work still ends; and when the disk is
// full all the same, the router ends loudly and the next one knows everything that was acknowledged.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../src/api/client.js";
import { attemptEnds, connectedTo, eventually, startAgent, startRouter, temporaryFolder } from "./harness.js";
import { fill, onSmallDisk, smallDisk } from "./small-disk.js";

/** Waits for the gate to open, then writes more than the disk will have. */
const LARGE_RESULT = `
const timer = setInterval(() => { if (require("node:fs").existsSync(process.argv[1])) { clearInterval(timer); process.stdout.write("x".repeat(900_000)); } }, 5);
`;

/** Routes until one is refused; returns the ids that were accepted, and the refusal. */
async function routeUntilRefused(client: RouterClient, payloadBytes: number): Promise<{ readonly accepted: string[]; readonly refusal: { code: number; details: string } }> {
  const accepted: string[] = [];
  for (;;) {
    const payload = { case: "payloadBytes", value: new Uint8Array(payloadBytes) } as const;
    try {
      accepted.push((await client.route({ modelId: "m", timeoutMs: 600_000n, payload })).requestId);
    } catch (error) {
      return { accepted, refusal: error as { code: number; details: string } };
    }
  }
}

async function completed(client: RouterClient, requestId: string): Promise<boolean> {
  return (await client.status({ requestId })).request?.state === RequestState.COMPLETED;
}

describe("A disk that fills up", () => {
  onSmallDisk("refuses new work while there is still room for the ends of what was accepted, and takes work again when there is room", async () => {
    const disk = await smallDisk();
    const router = await startRouter({ data: path.join(disk, "data") });
    const { accepted, refusal } = await routeUntilRefused(router.client, 60_000);
    expect(accepted.length).toBeGreaterThan(20);
    expect(refusal).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: expect.stringMatching(/KiB free in .*disk/) });
    await router.process.line("that the disk is nearly full", ({ msg }) => msg.startsWith("disk nearly full"));

    // A repeat of what is known is not new work.
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: 100_000 });
    for (const requestId of accepted) await eventually(`${requestId} completes`, () => completed(router.client, requestId));
    await expect(router.client.route({ modelId: "m" })).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });

    execFileSync("mount", ["-o", "remount,size=8m", disk]);
    await router.process.line("that there is room", ({ msg }) => msg.startsWith("disk has room again"));
    const { requestId } = await router.client.route({ modelId: "m" });
    await eventually("the new one completes", () => completed(router.client, requestId));
    expect(await router.process.stop()).toBe(0);
  });

  onSmallDisk("that is full all the same ends the router with 74 and a message; the next one has everything that was acknowledged", async () => {
    const disk = await smallDisk();
    const gate = path.join(await temporaryFolder(), "gate");
    const router = await startRouter({ data: path.join(disk, "data") });
    const runners = { simulated: false, exec: [{ name: "big", argv: [process.execPath, "-e", LARGE_RESULT, gate] }] };
    const agent = await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus: 1, runners });
    await router.client.route({ requestId: "late", modelId: "big", type: "training" });
    await eventually("it runs", async () => (await router.client.status({ requestId: "late" })).request?.startTime !== undefined);

    const makeRoom = fill(disk);
    writeFileSync(gate, "");
    expect(await router.process.ended).toBe(74);
    expect(router.process.stderr).toMatch(/gpu-router: the journal could not be written \(.*; 0 KiB free in .*\)\. Nothing that was acknowledged is lost\. Make room/);
    expect(router.process.stderr).not.toMatch(/unhandled|triggerUncaught/i);

    makeRoom();
    const again = await router.restart();
    await connectedTo(agent, again.epoch);
    await eventually("it completes", () => completed(again.client, "late"));
    // Its agent kept the result; it did not run again.
    expect(attemptEnds([agent])).toMatchObject([{ request: "late", attempt: 1, outcome: "succeeded" }]);
    const { request } = await again.client.status({ requestId: "late" });
    expect(request).toMatchObject({ attempts: 1, resultSize: 900_000n });
    expect((await (await fetch(request!.resultUrl)).arrayBuffer()).byteLength).toBe(900_000);
  });
});
