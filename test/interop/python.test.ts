// A Python grpcio client whose stubs are generated from proto/ here and now: what a Python orchestrator does with the contract.
import { afterAll, beforeAll, expect } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ROOT, startRealFleet, type RealFleet } from "./real-fleet.js";
import { pythonWithGrpc, testWith } from "./tools.js";

const python = pythonWithGrpc();
const test = testWith(python);
const PROTOS = ["gpurouter/v1/router.proto", "gpurouter/v1/gpu.proto", "gpurouter/v1/decision.proto", "buf/validate/validate.proto"];

let fleet: RealFleet | undefined;
let stubs = "";
/** What client.py saw. */
let seen: Readonly<Record<string, unknown>> = {};

beforeAll(async () => {
  if (python.missing !== "") return;
  stubs = mkdtempSync(path.join(tmpdir(), "gpu-router-stubs-"));
  const options = { encoding: "utf8", timeout: 60_000 } as const;
  execFileSync(python.command, ["-m", "grpc_tools.protoc", `-I${path.join(ROOT, "proto")}`, `--python_out=${stubs}`, `--grpc_python_out=${stubs}`, ...PROTOS], options);
  fleet = await startRealFleet({ gpus: 2 });
  seen = JSON.parse(execFileSync(python.command, [path.join(import.meta.dirname, "client.py"), fleet.grpc, stubs], options)) as typeof seen;
}, 90_000);
afterAll(async () => {
  await fleet?.stop();
  rmSync(stubs, { recursive: true, force: true });
});

test("Route and the Watch stream carry a request to its result", () => {
  expect(seen["route"]).toMatchObject({
    status: "ROUTE_STATUS_ACCEPTED",
    assigned_gpu: expect.stringMatching(/^sim-interop-/),
    first_event: "request",
    final_state: "REQUEST_STATE_COMPLETED",
    result: { simulated: true, model: "demo" },
    duration_ms: expect.any(Number),
  });
});

test("a refused request has a code, words, and the fields to blame in grpc-status-details-bin", () => {
  expect(seen["refused"]).toEqual({ code: "INVALID_ARGUMENT", status_code: 3, details: expect.stringMatching(/^model_id: .*; priority: /), fields: ["model_id", "priority"] });
});

test("an unknown id is NOT_FOUND and named", () => {
  expect(seen["unknown"]).toEqual({ code: "NOT_FOUND", details: expect.stringContaining('"no-such"') });
});

test("a deadline ends the call and not the work; a cancel ends the work", () => {
  expect(seen["deadline"]).toEqual({ code: "DEADLINE_EXCEEDED", state_after: "REQUEST_STATE_PROCESSING", state_after_cancel: "REQUEST_STATE_CANCELLED" });
});

test("WatchGpus streams a snapshot and changes until the client has seen enough", () => {
  expect(seen["gpus"]).toEqual({
    snapshot: true,
    ids: ["sim-interop-0", "sim-interop-1"],
    change_is_snapshot: false,
    change_sequence_grows: true,
    after_cancel: "CANCELLED",
  });
});
