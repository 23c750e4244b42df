// What callers are told follows from records: which events, their ids, their order.
import { describe, expect, test } from "@jest/globals";
import type { CallbackEvent } from "../../../src/core/callbacks.js";
import type { Step } from "../../../src/core/events.js";
import { end, gpuId, inventory, nodeId, runner, wishes, World } from "./build.js";

const callbackUrl = "https://example.com/hook?token=1";
const words = ({ callbacks }: Step): string[] => callbacks.map(({ type, sequence, request }) => `${type} ${sequence} ${request.phase}`);

describe("callbacks of a request", () => {
  test("its end is told once, with what Status would say, without payload and decision", () => {
    const world = new World();
    world.connect("node", ["g0"]);
    expect(words(world.submit("r.1", { callbackUrl }))).toEqual([]);
    const [told] = world.end("r.1", "succeeded", { result: new Uint8Array(3), resultContentType: "text/plain" }).callbacks as [CallbackEvent];
    expect(told).toMatchObject({ type: "request.ended", sequence: 3, atMs: world.nowMs, leftGpuIds: [], reason: "" });
    expect(told.request).toMatchObject({ phase: "completed", result: { sizeBytes: 3 }, decision: null });
    expect(told.request.spec.payload).toHaveLength(0);
    expect(told.eventId).toBe(`r~1_${(1_000_000).toString(36)}_3`);
  });

  test("who left no address is told nothing", () => {
    const world = new World();
    world.connect("node", ["g0"]);
    world.submit("r1");
    expect(world.end("r1").callbacks).toEqual([]);
  });

  test("a re-routing names the GPU that was left, and the events of a request are numbered in their order", () => {
    const world = new World({ retryDelayMs: 0 });
    world.connect("node", ["g0", "g1"]);
    world.submit("r1", { callbackUrl });
    const left = world.request("r1").gpuId;
    const failed = world.end("r1", "unavailable");
    expect(failed.callbacks[0]).toMatchObject({ type: "request.rerouted", sequence: 1, leftGpuIds: [left], reason: "unavailable_code: It ended as unavailable." });
    expect(failed.callbacks[0]?.request.phase).toBe("queued");
    const all = [...failed.callbacks, ...world.end("r1", "unavailable").callbacks, ...world.end("r1").callbacks];
    const sequences = all.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    expect(new Set(all.map(({ eventId }) => eventId)).size).toBe(3);
  });

  test("a re-routing for an operator says so, with his reason: his drain, or the restart of the GPU", () => {
    const by = { name: "ada", address: "10.0.0.1" };
    const world = new World();
    world.connect("node", ["g0"]);
    for (const [id, over] of [["idempotent", {}], ["once", { idempotent: false }], ["preemptible", { idempotent: false, wishes: wishes({ preemptible: true }) }]] as const) world.submit(id, { ...over, callbackUrl });
    const drain = world.step({ kind: "set_maintenance", target: { kind: "gpu", gpuId: gpuId("g0") }, on: true, reason: "new fan", by, untilMs: 0, drainByMs: world.nowMs });
    const said = [drain, world.end("once", "cancelled"), world.end("preemptible", "cancelled")].flatMap(({ callbacks }) => callbacks);
    expect(said.map(({ type, reason }) => `${type}: ${reason}`)).toEqual(Array.from({ length: 3 }, () => "request.rerouted: maintenance: Its GPU was taken out of service: new fan"));
    const restarting = new World();
    restarting.step({ kind: "node_connected", nodeId: nodeId("node"), instanceId: "i", gpus: [inventory("g0")], runners: [runner()], held: [], restartsGpus: true });
    restarting.submit("r", { callbackUrl });
    const { callbacks } = restarting.step({ kind: "restart_gpu", gpuId: gpuId("g0"), force: true, reason: "", by, drainByMs: 0 });
    expect(callbacks).toMatchObject([{ type: "request.rerouted", reason: "gpu_restart: Its GPU is to be restarted." }]);
  });

  test("a time-out is told as such before the end", () => {
    const world = new World();
    world.submit("r1", { callbackUrl, timeoutMs: 1_000 });
    expect(words(world.pass(1_100))).toEqual(["request.timed_out 1 failed", "request.ended 2 failed"]);
  });

  test("what is told is a copy: it does not change with the request", () => {
    const world = new World({ retryDelayMs: 0 });
    world.connect("node", ["g0", "g1"]);
    world.submit("r1", { callbackUrl });
    const [told] = world.end("r1", "unavailable").callbacks as [CallbackEvent];
    world.end("r1");
    expect(told.request).toMatchObject({ phase: "queued", gpuId: "" });
  });

  test("long texts are cut", () => {
    const world = new World();
    world.connect("node", ["g0"]);
    world.submit("r1", { callbackUrl });
    const [told] = world.end("r1", "failed", end("failed", { error: { code: "bad", message: "x".repeat(5_000) } })).callbacks as [CallbackEvent];
    expect(told.request.error?.message).toHaveLength(1_024);
  });
});
