// The open loop on a virtual clock, against a router that is a few lines.
import { describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { Metadata, status, type ServiceError } from "@grpc/grpc-js";

import { RequestState, RouteResponseSchema, StatusResponseSchema, WatchResponseSchema, type RouteRequest, type WatchResponse } from "../../../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../../../src/api/client.js";
import { ReplaySlos } from "../../../../src/cli/replay/replay-slos.js";
import { newCounters, runReplay, type ReplayRun, type RunSettings } from "../../../../src/cli/replay/run.js";
import type { ScheduledRequest } from "../../../../src/cli/replay/schedule.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { VirtualClock } from "../virtual-clock.js";

const SETTINGS: RunSettings = { runId: "t", model: "m", slos: null, timeoutMs: 9000, payloadBytes: 0, tellLengths: true, giveUpMs: 10_000, maxInFlight: 100 };

function failure(code: number): ServiceError {
  return Object.assign(new Error(status[code]), { code, details: "", metadata: new Metadata() });
}

function state(value: RequestState): WatchResponse {
  return create(WatchResponseSchema, { event: { case: "request", value: { state: value, assignedGpu: "g" } } });
}

type Client = Pick<RouterClient, "route" | "watch" | "status">;

/** A router that answers after 5 ms and runs each request for 1 s; `change` overrides parts. */
function router(clock: VirtualClock, change: Partial<Client> = {}) {
  const routed: { id: string; atMs: number; request: RouteRequest }[] = [];
  const startMs = clock.now();
  const client: Client = {
    async route(request) {
      routed.push({ id: request.requestId ?? "", atMs: clock.now() - startMs, request: request as RouteRequest });
      await clock.sleep(5);
      return create(RouteResponseSchema);
    },
    async *watch(_request, options) {
      yield state(RequestState.PROCESSING);
      await clock.sleep(1000, options?.signal);
      if (options?.signal?.aborted === true) throw failure(status.CANCELLED);
      yield state(RequestState.COMPLETED);
    },
    status: () => Promise.reject(failure(status.NOT_FOUND)),
    ...change,
  };
  return { client, routed };
}

async function* due(...timesMs: number[]): AsyncGenerator<ScheduledRequest> {
  for (const [number, dueMs] of timesMs.entries()) yield { number, dueMs, tenant: "u", priority: 4, inputTokens: 10, outputTokens: 20, prefixHashes: [] };
}

async function replay(clock: VirtualClock, client: Client, requests: AsyncIterable<ScheduledRequest>, settings: Partial<RunSettings> = {}, signals: { stop?: AbortSignal; quit?: AbortSignal } = {}): Promise<ReplayRun> {
  const never = new AbortController().signal;
  const control = { clock, random: seededRandom(3), stop: signals.stop ?? never, quit: signals.quit ?? never, counters: newCounters() };
  const run = await clock.drive(runReplay(requests, client, { ...SETTINGS, ...settings }, control));
  expect(control.counters.inFlight).toBe(0);
  return run;
}

describe("runReplay", () => {
  test("sends at the trace's times though nothing has ended yet", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    const run = await replay(clock, client, due(0, 100, 100, 250));
    expect(routed.map(({ id, atMs }) => [id, atMs])).toEqual([["replay-t-0", 0], ["replay-t-1", 100], ["replay-t-2", 100], ["replay-t-3", 250]]);
    expect(run.outcomes.map(({ fate, answeredMs, endedMs, lateMs }) => [fate, answeredMs, endedMs, lateMs])).toEqual([
      ["completed", 5, 1005, 0],
      ["completed", 105, 1105, 0],
      ["completed", 105, 1105, 0],
      ["completed", 255, 1255, 0],
    ]);
    expect(run.elapsedMs).toBe(1255);
    expect(run.heldBack).toEqual({ count: 0, longestMs: 0 });
  });

  test("a request carries what the trace and the options say", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    await replay(clock, client, due(0), { payloadBytes: 64 });
    const request = routed[0]?.request;
    expect(request).toMatchObject({ userId: "u", modelId: "m", priority: 4, timeoutMs: 9000n, resourceRequirements: { inputTokens: 10, outputTokens: 20 } });
    const payload = request?.payload.case === "payloadBytes" ? Buffer.from(request.payload.value).toString() : "";
    expect(payload).toHaveLength(64);
    expect(JSON.parse(payload)).toMatchObject({ max_tokens: 20, prompt: expect.stringMatching(/^the the /) });
  });

  test("a length that is not told is in the payload alone", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    await replay(clock, client, due(0), { tellLengths: false });
    const request = routed[0]?.request;
    expect(request?.resourceRequirements).toMatchObject({ inputTokens: 10, outputTokens: 0 });
    expect(request?.payload.case === "payloadBytes" && JSON.parse(Buffer.from(request.payload.value).toString())).toMatchObject({ max_tokens: 20 });
  });

  test("an SLO is told as a wish, and what was completed is judged by it", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    const slos = new ReplaySlos({ firstOutputMs: 500, totalFloorMs: 1100, totalFactor: 0, gpuKind: "T4" }, "m", true);
    const { outcomes } = await replay(clock, client, due(0, 10), { slos });
    expect(routed[0]?.request.slo).toMatchObject({ firstOutputMs: 500n, totalMs: 1100n });
    // Nobody tells of a first output.
    expect(outcomes.map(({ inSlo }) => inSlo)).toEqual([false, false]);

    const again = new VirtualClock();
    const refusing = router(again, { route: () => Promise.reject(failure(status.RESOURCE_EXHAUSTED)) });
    expect((await replay(again, refusing.client, due(0), { slos })).outcomes[0]?.inSlo).toBe(false);

    const total = new VirtualClock();
    const wholeOnly = new ReplaySlos({ firstOutputMs: 0, totalFloorMs: 1005, totalFactor: 0, gpuKind: "T4" }, "m", true);
    expect((await replay(total, router(total).client, due(0), { slos: wholeOnly })).outcomes[0]?.inSlo).toBe(true);
  });

  test("without an SLO nothing is wished and nothing judged", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    expect((await replay(clock, client, due(0))).outcomes[0]?.inSlo).toBeNull();
    expect(routed[0]?.request.slo).toBeUndefined();
  });

  test("the first output is when it was seen, or when its runner says that it was made if that is earlier", async () => {
    const output = create(WatchResponseSchema, { event: { case: "output", value: { data: new Uint8Array([1]) } } });
    const ended = (firstOutputMs: number): WatchResponse =>
      create(WatchResponseSchema, { event: { case: "request", value: { state: RequestState.COMPLETED, statistics: { runMs: 900, firstOutputMs } } } });
    const firstOutput = async (seenAfterMs: number | null, madeMs: number): Promise<number | null | undefined> => {
      const clock = new VirtualClock();
      const { client } = router(clock, {
        async *watch() {
          await clock.sleep(seenAfterMs ?? 0);
          if (seenAfterMs !== null) yield output;
          await clock.sleep(1000 - (seenAfterMs ?? 0));
          yield ended(madeMs);
        },
      });
      return (await replay(clock, client, due(0))).outcomes[0]?.firstOutputMs;
    };
    // Route is answered after 5 ms, and the run of 900 ms is seen to end 1000 ms later: it began at 105 ms.
    expect(await firstOutput(300, 250)).toBe(305);
    expect(await firstOutput(1000, 250)).toBe(355);
    expect(await firstOutput(null, 250)).toBe(355);
    expect(await firstOutput(null, 0)).toBeNull();
  });

  test("a bound on requests in flight delays sending, and lateness and the report's figures show it", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    const run = await replay(clock, client, due(0, 10, 20), { maxInFlight: 2 });
    expect(routed.map(({ atMs }) => atMs)).toEqual([0, 10, 1005]);
    expect(run.outcomes[2]?.lateMs).toBe(985);
    expect(run.heldBack).toEqual({ count: 1, longestMs: 985 });
  });

  test("while the router is away the same id is sent again, and latency still counts from the due time", async () => {
    const clock = new VirtualClock();
    const ids: string[] = [];
    const { client } = router(clock, {
      async route(request) {
        ids.push(request.requestId ?? "");
        if (ids.length === 1) throw failure(status.UNAVAILABLE);
        if (ids.length === 2) throw failure(status.DEADLINE_EXCEEDED);
        return create(RouteResponseSchema);
      },
    });
    const { outcomes } = await replay(clock, client, due(0));
    expect(ids).toEqual(["replay-t-0", "replay-t-0", "replay-t-0"]);
    expect(outcomes[0]).toMatchObject({ fate: "completed", retries: 2, ends: 1 });
    // Two waits with jitter: 50..100 ms and 100..200 ms.
    expect(outcomes[0]?.answeredMs).toBeGreaterThanOrEqual(150);
    expect(outcomes[0]?.answeredMs).toBeLessThanOrEqual(300);
  });

  test("gives up on a router that stays away", async () => {
    const clock = new VirtualClock();
    const { client } = router(clock, { route: () => Promise.reject(failure(status.UNAVAILABLE)) });
    const { outcomes, elapsedMs } = await replay(clock, client, due(0));
    expect(outcomes[0]).toMatchObject({ fate: "unanswered", code: "UNAVAILABLE", answeredMs: null });
    expect(elapsedMs).toBeGreaterThanOrEqual(10_000);
    expect(elapsedMs).toBeLessThan(15_001);
  });

  test("a refusal is not sent again", async () => {
    const clock = new VirtualClock();
    const { client } = router(clock, { route: () => Promise.reject(failure(status.RESOURCE_EXHAUSTED)) });
    expect((await replay(clock, client, due(0))).outcomes[0]).toMatchObject({ fate: "refused", code: "RESOURCE_EXHAUSTED", retries: 0 });
  });

  test("a cut stream is watched again; an acknowledged request that the router forgot is lost", async () => {
    const clock = new VirtualClock();
    let streams = 0;
    const cut = router(clock, {
      async *watch() {
        streams += 1;
        yield state(streams < 3 ? RequestState.PROCESSING : RequestState.FAILED);
        if (streams === 1) throw failure(status.UNAVAILABLE);
      },
    });
    expect((await replay(clock, cut.client, due(0))).outcomes[0]).toMatchObject({ fate: "failed", reconnects: 2, ends: 1 });

    const forgets = router(clock, {
      // oxlint-disable-next-line require-yield -- a stream that fails before it says anything
      async *watch() {
        throw failure(status.NOT_FOUND);
      },
    });
    expect((await replay(clock, forgets.client, due(0))).outcomes[0]).toMatchObject({ fate: "lost", code: "NOT_FOUND", ends: 0 });
  });

  test("a request that Watch no longer knows but Status does has ended, not got lost", async () => {
    const clock = new VirtualClock();
    const { client } = router(clock, {
      // oxlint-disable-next-line require-yield -- a stream that fails before it says anything
      async *watch() {
        throw failure(status.NOT_FOUND);
      },
      status: async () => create(StatusResponseSchema, { request: { state: RequestState.COMPLETED } }),
    });
    expect((await replay(clock, client, due(0))).outcomes[0]).toMatchObject({ fate: "completed", ends: 1 });
  });

  test("a request that ends twice is caught", async () => {
    const clock = new VirtualClock();
    const { client } = router(clock, {
      async *watch() {
        yield state(RequestState.COMPLETED);
        yield state(RequestState.FAILED);
      },
    });
    expect((await replay(clock, client, due(0))).outcomes[0]).toMatchObject({ fate: "completed", ends: 2 });
  });

  test("stop ends the sending and waits for what is in flight; quit gives that up too", async () => {
    const clock = new VirtualClock();
    const { client, routed } = router(clock);
    const stop = new AbortController();
    void clock.sleep(150).then(() => stop.abort());
    const stopped = await replay(clock, client, due(0, 100, 200, 300), {}, { stop: stop.signal });
    expect(routed).toHaveLength(2);
    expect(stopped.outcomes.map(({ fate }) => fate)).toEqual(["completed", "completed"]);

    const quit = new AbortController();
    void clock.sleep(150).then(() => quit.abort());
    const quitted = await replay(clock, client, due(0, 100, 200), {}, { stop: quit.signal, quit: quit.signal });
    expect(quitted.outcomes.map(({ fate, code }) => [fate, code])).toEqual([["unfinished", "INTERRUPTED"], ["unfinished", "INTERRUPTED"]]);
    expect(quitted.elapsedMs).toBe(150);
  });
});
