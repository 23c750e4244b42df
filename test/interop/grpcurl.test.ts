// grpcurl, as an operator uses it: no files, everything by reflection.
import { afterAll, beforeAll, describe, expect } from "@jest/globals";
import { execFile } from "node:child_process";
import { startRealFleet, type RealFleet } from "./real-fleet.js";
import { grpcurl, testWith } from "./tools.js";

const tool = grpcurl();
const test = testWith(tool);
const SERVICE = "gpurouter.v1.RouterService";
/** grpcurl ends with 64 + the gRPC code. */
const EXIT = { invalidArgument: 64 + 3, deadlineExceeded: 64 + 4, notFound: 64 + 5, alreadyExists: 64 + 6 };

interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}
// oxlint-disable-next-line typescript/no-explicit-any -- grpcurl's JSON, read field by field
type Message = any;

let fleet: RealFleet;

beforeAll(async () => {
  if (tool.missing === "") fleet = await startRealFleet({ gpus: 2 });
});
afterAll(() => fleet?.stop());

function run(options: readonly string[], ...args: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const child = execFile(tool.command, ["-plaintext", "-max-time", "20", ...options, fleet.grpc, ...args], (_error, stdout, stderr) =>
      resolve({ exitCode: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** All messages of a call's answer; fails when the call does. */
async function call(method: string, message: object, service = SERVICE): Promise<Message[]> {
  const answer = await run(["-d", JSON.stringify(message)], `${service}/${method}`);
  if (answer.exitCode !== 0) throw new Error(answer.stderr);
  return messages(answer.stdout);
}

async function one(method: string, message: object, service = SERVICE): Promise<Message> {
  const all = await call(method, message, service);
  expect(all).toHaveLength(1);
  return all[0];
}

/** grpcurl prints one indented document after the other. */
function messages(stdout: string): Message[] {
  return stdout
    .split(/(?<=^\})\n/m)
    .filter((text) => text.trim() !== "")
    .map((text) => JSON.parse(text) as Message);
}

describe("reflection", () => {
  test("list names every service", async () => {
    const { stdout } = await run([], "list");
    expect(stdout.trim().split("\n")).toEqual([
      "gpurouter.v1.AdminService",
      "gpurouter.v1.AgentService",
      "gpurouter.v1.IdentityService",
      "gpurouter.v1.QuotaService",
      SERVICE,
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
  });

  test("list of the service names every method of the contract", async () => {
    const { stdout } = await run([], "list", SERVICE);
    const methods = ["BatchRoute", "Cancel", "Explain", "GpuStatus", "List", "Route", "Status", "Watch", "WatchGpus"];
    expect(stdout.trim().split("\n")).toEqual(methods.map((method) => `${SERVICE}.${method}`));
  });

  test("describe shows a message with its validation rules; comments do not travel", async () => {
    const { stdout } = await run([], "describe", "gpurouter.v1.RouteRequest");
    expect(stdout).toContain("(.buf.validate.field) = { string: { min_len: 1, max_len: 256 } }");
    expect(stdout).toContain("uint32 priority = 4 [(.buf.validate.field) = { uint32: { lte: 5 } }];");
    expect(stdout).not.toContain("//");
  });

  test.each(["v1", "v1alpha"])("grpc.reflection.%s answers", async (version) => {
    const { listServicesResponse } = await one("ServerReflectionInfo", { list_services: "" }, `grpc.reflection.${version}.ServerReflection`);
    expect(listServicesResponse.service).toContainEqual({ name: SERVICE });
  });
});

describe("health", () => {
  test("the server as a whole and its service are serving", async () => {
    expect(await one("Check", {}, "grpc.health.v1.Health")).toEqual({ status: "SERVING" });
    expect(await one("Check", { service: SERVICE }, "grpc.health.v1.Health")).toEqual({ status: "SERVING" });
  });
});

describe("work", () => {
  test("a request with a JSON payload is accepted, placed on a GPU, and Watch shows it to its end", async () => {
    const accepted = await one("Route", { model_id: "demo", payload_json: { prompt: "hello" } });
    expect(accepted).toMatchObject({ status: "ROUTE_STATUS_ACCEPTED", assignedGpu: expect.stringMatching(/^sim-interop-[01]$/) });

    const events = await call("Watch", { request_id: accepted.requestId });
    expect(events[0].request.requestId).toBe(accepted.requestId);
    const last = events.at(-1).request;
    expect(last).toMatchObject({ state: "REQUEST_STATE_COMPLETED", attempts: 1, progress: 1, resultContentType: "application/json" });
    expect(JSON.parse(Buffer.from(last.result, "base64").toString())).toMatchObject({ simulated: true, model: "demo", gpu_id: accepted.assignedGpu });
  });

  test("Status says the same of an ended request as Watch did", async () => {
    const { requestId } = await one("Route", { request_id: "interop:status", model_id: "demo" });
    const events = await call("Watch", { request_id: requestId });
    expect(await one("Status", { request_id: requestId })).toEqual(events.at(-1));
  });

  test("a cancelled request ends as cancelled", async () => {
    const { requestId } = await one("Route", { model_id: "demo", resource_requirements: { expected_duration_ms: 3_600_000 }, timeout_ms: 7_200_000 });
    await one("Cancel", { request_id: requestId, reason: "a test" });
    const events = await call("Watch", { request_id: requestId });
    expect(events.at(-1).request).toMatchObject({ requestId, state: "REQUEST_STATE_CANCELLED" });
  });

  test("the same id with the same content is the same request, with other content a conflict", async () => {
    const request = { request_id: "interop:same", model_id: "demo", payload_json: { b: 1, a: [2] } };
    const first = await one("Route", request);
    expect((await one("Route", { ...request, payload_json: { a: [2], b: 1 } })).requestId).toBe(first.requestId);
    const clash = await run(["-d", JSON.stringify({ ...request, priority: 5 })], `${SERVICE}/Route`);
    expect(clash).toMatchObject({ exitCode: EXIT.alreadyExists, stderr: expect.stringContaining("interop:same") });
  });

  test("a batch gives each request its own answer, and List shows them", async () => {
    const { responses } = await one("BatchRoute", {
      requests: [
        { request_id: "interop:batch-1", model_id: "demo", user_id: "batch" },
        { request_id: "interop:batch-2", model_id: "demo", user_id: "batch" },
      ],
    });
    expect(responses.map((response: Message) => response.requestId)).toEqual(["interop:batch-1", "interop:batch-2"]);
    const { requests } = await one("List", { user_id: "batch" });
    expect(requests.map((request: Message) => request.requestId).toSorted()).toEqual(["interop:batch-1", "interop:batch-2"]);
  });

  test("Explain of a dry run names strategy, terms and estimate, and places nothing", async () => {
    const explained = await one("Explain", { dry_run: { model_id: "demo", request_id: "interop:dry" } });
    expect(explained).toMatchObject({ dryRun: true, decision: { strategy: "hybrid", considered: 2, candidates: expect.any(Array) } });
    expect(explained.decision.candidates[0].terms.map((term: Message) => term.scorer)).toContain("own_seconds");
    const unknown = await run(["-d", '{"request_id":"interop:dry"}'], `${SERVICE}/Status`);
    expect(unknown).toMatchObject({ exitCode: EXIT.notFound, stderr: expect.stringContaining("interop:dry") });
  });
});

describe("the fleet", () => {
  test("GpuStatus shows every GPU, named as simulated", async () => {
    const { gpus } = await one("GpuStatus", {});
    expect(gpus.map((gpu: Message) => gpu.gpuId)).toEqual(["sim-interop-0", "sim-interop-1"]);
    for (const gpu of gpus) expect(gpu).toMatchObject({ simulated: true, nodeId: "interop", state: "GPU_STATE_ACTIVE", memory: { totalMib: 81_920 } });
  });

  test("WatchGpus sends a snapshot, then changes with growing sequence numbers, until it is cut", async () => {
    const cut = await run(["-max-time", "1.6", "-d", "{}"], `${SERVICE}/WatchGpus`);
    expect(cut.exitCode).toBe(EXIT.deadlineExceeded);
    const [snapshot, ...changes] = messages(cut.stdout);
    expect(snapshot).toMatchObject({ snapshot: true, gpus: [{ gpuId: "sim-interop-0" }, { gpuId: "sim-interop-1" }] });
    expect(changes.length).toBeGreaterThan(0);
    const sequences = [snapshot, ...changes].map((change) => Number(change.sequence));
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    for (const change of changes) expect(change.snapshot).toBeUndefined();
    // It goes on from there: no second snapshot.
    const resumed = await run(["-max-time", "1.6", "-d", JSON.stringify({ resume_token: changes.at(-1).resumeToken })], `${SERVICE}/WatchGpus`);
    expect(messages(resumed.stdout)[0].snapshot).toBeUndefined();
  });
});

describe("errors", () => {
  test("a bad request names every bad field, for people and for machines", async () => {
    const refused = await run(["-format-error", "-d", '{"priority": 9, "callback_url": "ftp://x"}'], `${SERVICE}/Route`);
    expect(refused.exitCode).toBe(EXIT.invalidArgument);
    const error = JSON.parse(refused.stderr) as Message;
    expect(error.message).toMatch(/model_id: .*priority: .*callback_url: /);
    const fields = error.details[0].violations.map((violation: Message) => violation.field.elements[0].fieldName);
    expect(fields).toEqual(["model_id", "priority", "callback_url"]);
  });
});
