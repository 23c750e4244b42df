// The router as a whole behind the API's port, on a real journal, with the agent's events put in by hand.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import type { WatchEvent } from "../../../src/api/router-port.js";
import type { GpuId, RequestId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { Router } from "../../../src/router/router.js";
import { AttemptOutcome } from "../../../gen/gpurouter/v1/agent_pb.js";
import { specOf } from "../journal/story.js";
import { temporaryFolder } from "../journal/temporary-folder.js";
import { FakeStream, silentLog, TestClock, turn } from "./fakes.js";

const clock = new TestClock();
let folder: string;
let router: Router;
let open: boolean;

async function start(): Promise<void> {
  router = new Router({
    settings: { ...DEFAULT_CORE_SETTINGS, maxQueuedRequests: 20, queueHeadroom: 0 },
    agentTerms: { leaseMs: 60_000, nodeLostAfterMs: 60_000, heartbeatIntervalMs: 60_000, telemetryIntervalMs: 60_000, maxResultBytes: 1 << 20 },
    retention: { finishedForMs: 3_600_000, finishedAtMost: 1_000 },
    journal: await LmdbJournal.open(folder),
    clock,
    log: silentLog,
    resultBaseUrl: () => "http://127.0.0.1:8000",
    onJournalFailure: (error) => {
      throw error;
    },
  });
  open = true;
  await router.durable();
}

async function stop(): Promise<void> {
  open = false;
  await router.stop();
}

beforeEach(async () => {
  folder = await temporaryFolder();
  await start();
});
afterEach(async () => {
  if (open) await stop();
});

const id = (text: string): RequestId => text as RequestId;

function agent(): FakeStream {
  const stream = new FakeStream();
  stream.on("error", () => {});
  router.agents.connect(stream.stream);
  stream.hello();
  return stream;
}

/** The dispatches that reach the agent, by request. */
async function dispatched(stream: FakeStream, requestId: string): Promise<void> {
  for (let turns = 0; turns < 1_000; turns += 1) {
    if (stream.sent.some(({ dispatches }) => dispatches.some(({ ref }) => ref?.requestId === requestId))) return;
    await turn();
  }
  throw new Error(`${requestId} is not dispatched.`);
}

function ends(stream: FakeStream, requestId: string, result = "the result"): void {
  const value = { outcome: AttemptOutcome.SUCCEEDED, result: Buffer.from(result), resultContentType: "text/plain" };
  stream.says({ events: [{ ref: { requestId, attempt: 1 }, event: { case: "ended", value } }] });
}

describe("Route", () => {
  test("takes a request once: the same again is the same, another content under its id is refused, while it lives and after", async () => {
    const stream = agent();
    expect(await router.route(specOf("a"))).toMatchObject({ kind: "accepted", phase: "placed", gpuIds: ["GPU-0"] });
    expect(await router.route(specOf("a"))).toMatchObject({ kind: "accepted", phase: "placed" });
    expect(await router.route(specOf("a", { contentHash: "other" }))).toEqual({ kind: "id_conflict", requestId: "a" });
    await dispatched(stream, "a");
    ends(stream, "a");
    // Ended, and perhaps not durable yet.
    expect(await router.route(specOf("a"))).toMatchObject({ kind: "accepted", phase: "completed", message: "Already completed." });
    await router.durable();
    expect(await router.route(specOf("a"))).toMatchObject({ kind: "accepted", phase: "completed" });
    expect(await router.route(specOf("a", { contentHash: "other" }))).toEqual({ kind: "id_conflict", requestId: "a" });
    expect(stream.sent.flatMap(({ dispatches }) => dispatches)).toHaveLength(1);
  });

  test("tells no times of what no GPU can take", async () => {
    expect(await router.route(specOf("hopeless"))).toMatchObject({ kind: "accepted", phase: "queued", estimatedStartAtMs: 0, estimatedCompletionAtMs: 0, message: expect.stringContaining("No connected GPU can take it") });
  });

  test("answers with the place in the queue, and refuses when the queue is full", async () => {
    for (let index = 0; index < 20; index += 1) expect(await router.route(specOf(`r${index}`))).toMatchObject({ kind: "accepted", phase: "queued", queuePosition: index });
    expect(await router.route(specOf("more"))).toMatchObject({ kind: "queue_full", what: "requests", limit: 20 });
    expect(await router.route(specOf("r3"))).toMatchObject({ kind: "accepted" });
    expect(await router.status(id("more"))).toBeNull();
  });

  test("refuses an unknown strategy, and everything while it drains", async () => {
    expect(await router.route(specOf("a", { strategy: "astrology" }))).toMatchObject({ kind: "unknown_strategy", strategy: "astrology", known: expect.arrayContaining(["weighted"]) });
    router.drain();
    expect(await router.route(specOf("a"))).toEqual({ kind: "draining" });
  });
});

describe("What is shown is durable", () => {
  test("the answer to Route, Status, Cancel and List survives a router that writes nothing more", async () => {
    await router.route(specOf("a"));
    await router.route(specOf("b"));
    expect((await router.cancel(id("a"), "enough"))?.request.phase).toBe("cancelled");
    const shown = await router.list({ phases: [], userId: "", pageSize: 10, pageToken: "" });
    // No stop, no snapshot: a copy of the directory is what a crash leaves.
    const { cp } = await import("node:fs/promises");
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true });
    await stop();
    folder = copy;
    await start();
    const again = await router.list({ phases: [], userId: "", pageSize: 10, pageToken: "" });
    expect(again?.requests.map(({ request }) => [request.spec.requestId, request.phase])).toEqual(shown?.requests.map(({ request }) => [request.spec.requestId, request.phase]));
    expect(router.epoch).toBe(2);
  });

  test("a result can be fetched when it is durable, not before", async () => {
    const stream = agent();
    await router.route(specOf("a"));
    await dispatched(stream, "a");
    ends(stream, "a");
    expect(router.result(id("a"))).toBeNull();
    const view = await router.status(id("a"));
    expect(Buffer.from(view?.result ?? []).toString()).toBe("the result");
    expect(view?.resultUrl).toBe("http://127.0.0.1:8000/api/v1/requests/a/result");
    expect(router.result(id("a"))).toEqual({ bytes: Buffer.from("the result"), contentType: "text/plain" });
  });

  test("a large result travels by reference", async () => {
    const stream = agent();
    await router.route(specOf("a"));
    await dispatched(stream, "a");
    ends(stream, "a", "x".repeat(100_000));
    const view = await router.status(id("a"));
    expect(view).toMatchObject({ result: null, request: { result: { sizeBytes: 100_000 } } });
    expect(router.result(id("a"))?.bytes.byteLength).toBe(100_000);
    expect((await router.list({ phases: [], userId: "", pageSize: 10, pageToken: "" }))?.requests[0]?.result).toBeNull();
  });
});

describe("Watch", () => {
  test("gives the present state, transitions and the end, to those who came early and late", async () => {
    const stream = agent();
    await router.route(specOf("a"));
    const seen = async (events: AsyncIterable<WatchEvent> | null): Promise<string[]> => {
      const phases: string[] = [];
      for await (const event of events ?? []) phases.push(event.kind === "request" ? event.view.request.phase : event.kind);
      return phases;
    };
    const never = new AbortController().signal;
    const early = seen(router.watch(id("a"), never));
    await dispatched(stream, "a");
    await router.durable();
    stream.says({ events: [{ ref: { requestId: "a", attempt: 1 }, event: { case: "started", value: {} } }] });
    const late = seen(router.watch(id("a"), never));
    await router.durable();
    ends(stream, "a");
    expect(await early).toEqual(["placed", "running", "completed"]);
    expect(await late).toEqual(["running", "completed"]);
    expect(await seen(router.watch(id("a"), never))).toEqual(["completed"]);
    expect(router.watch(id("nobody"), never)).toBeNull();
    await router.unwatched();
  });
});

describe("Explain", () => {
  test("shows the decision of a placed request, what keeps a waiting one, and a dry run", async () => {
    await router.route(specOf("waiting"));
    expect(router.explainRequest(id("waiting"))).toMatchObject({ dryRun: true, decision: { considered: 0, candidates: [] } });
    agent();
    expect(router.explainRequest(id("waiting"))).toMatchObject({ dryRun: false, decision: { considered: 1, candidates: [{ gpuId: "GPU-0" }] } });
    expect(router.explainDryRun(specOf("x", { specificGpuId: "elsewhere" as GpuId }))).toMatchObject({ kind: "decision", decision: { candidates: [] } });
    expect(router.explainDryRun(specOf("x", { strategy: "astrology" }))).toMatchObject({ kind: "unknown_strategy" });
    expect(router.explainRequest(id("nobody"))).toBeNull();
    await router.route(specOf("given up", { specificGpuId: "elsewhere" as GpuId }));
    await router.cancel(id("given up"), "");
    expect(router.explainRequest(id("given up"))).toMatchObject({ dryRun: true, endedAs: "cancelled" });
  });
});

test("a router that stops leaves a snapshot: the next one folds nothing and knows everything", async () => {
  const stream = agent();
  for (const name of ["a", "b", "c"]) await router.route(specOf(name));
  await dispatched(stream, "c");
  ends(stream, "a");
  await router.durable();
  await stop();
  const journal = await LmdbJournal.open(folder);
  const { snapshot, records } = journal.recover();
  expect([...records]).toEqual([]);
  expect(snapshot?.requests.map(({ request }) => request.spec.requestId)).toEqual(["b", "c"]);
  await journal.close();
  await start();
  expect(router.liveRequests).toBe(2);
  expect((await router.status(id("a")))?.request.phase).toBe("completed");
});

test("a node that claims another's GPU is refused while that one is connected, and may have it after", async () => {
  const first = agent();
  const claim = (): { code: number; details: string }[] => {
    const stream = new FakeStream();
    const refusals: { code: number; details: string }[] = [];
    stream.on("error", (error: { code: number; details: string }) => refusals.push(error));
    router.agents.connect(stream.stream);
    stream.hello({ nodeId: "node-b", instanceId: "2" });
    return refusals;
  };
  expect(claim()).toEqual([{ code: status.ALREADY_EXISTS, details: "GPU GPU-0 is connected by node node-a: a GPU belongs to one node." }]);
  expect(router.gpus().map(({ nodeId, state }) => [nodeId, state])).toEqual([["node-a", "active"]]);
  first.emit("end");
  expect(claim()).toEqual([]);
  expect(router.gpus().map(({ nodeId, state }) => [nodeId, state])).toEqual([["node-b", "active"]]);
});

describe("what a node says of another's attempt", () => {
  test("reaches nobody who watches it: neither output nor progress nor an end", async () => {
    const stream = agent();
    const other = new FakeStream();
    other.on("error", () => {});
    router.agents.connect(other.stream);
    other.hello({ nodeId: "node-b", instanceId: "2", gpus: [] });
    await router.route(specOf("a"));
    await dispatched(stream, "a");
    const watch = router.watch(id("a"), new AbortController().signal)?.[Symbol.asyncIterator]();
    await watch?.next();
    const says = (from: FakeStream, text: string): void =>
      from.says({
        events: [
          { ref: { requestId: "a", attempt: 1 }, event: { case: "progress", value: { fraction: 0.5, message: text } } },
          { ref: { requestId: "a", attempt: 1 }, event: { case: "output", value: { offset: 0n, data: Buffer.from(text) } } },
        ],
      });
    says(other, "made up");
    ends(other, "a", "made up");
    says(stream, "real");
    ends(stream, "a", "real");
    const seen: WatchEvent[] = [];
    for (let next = await watch?.next(); next && !next.done; next = await watch?.next()) seen.push(next.value);
    expect(seen.flatMap((event) => (event.kind === "progress" ? [event.message] : event.kind === "output" ? [Buffer.from(event.data).toString()] : []))).toEqual(["real", "real"]);
    expect(router.result(id("a"))?.bytes.toString()).toBe("real");
  });
});
