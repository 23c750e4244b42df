// Commands end to end, in-process, against a RouterService on a real port.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { GpuState } from "../../../gen/gpurouter/v1/gpu_pb.js";
import { EstimateAccuracySchema, ExplainResponseSchema, OnInterruption, RequestState, RouteStatus, WhenLate } from "../../../gen/gpurouter/v1/router_pb.js";
import { describeFailure } from "../../../src/cli/failure.js";
import { PLAN_COMMANDS } from "../../../src/cli/plan-commands.js";
import { FakeRouter, fakeGpu } from "./fake-router.js";
import { run, testTerminal } from "./test-terminal.js";

let router: FakeRouter;
beforeEach(async () => {
  router = await new FakeRouter().start();
});
afterEach(() => router.stop());

const here = (...args: string[]): string[] => [...args, "--router", router.address];

describe("route", () => {
  test("sends every option as the contract names it", async () => {
    const options =
      "--type training --priority 5 --user alice --id job-1 --memory 24000 --compute-units 80 --max-batch-size 8 --expected-duration 90s " +
      "--min-compute-capability 8.0 --input-tokens 100 --output-tokens 20 --gpu gpu-sim-1 --strategy least_loaded --timeout 5m --callback-url http://c/ --no-idempotent";
    const { code, out } = await run(here("route", "--model", "m", ...options.split(" "), "--payload", '{"a":[1,"x"]}'));
    expect(code).toBe(0);
    expect(out).toContain("job-1 accepted on gpu-sim-0");
    // A router that is elsewhere than usual has to be named again.
    expect(out).toContain(`gpu-router watch job-1 --router ${router.address}\n`);
    expect(router.routed[0]).toMatchObject({
      modelId: "m",
      type: "training",
      priority: 5,
      userId: "alice",
      requestId: "job-1",
      specificGpuId: "gpu-sim-1",
      strategy: "least_loaded",
      timeoutMs: 300_000n,
      callbackUrl: "http://c/",
      idempotent: false,
      payload: { case: "payloadJson", value: { a: [1, "x"] } },
      resourceRequirements: {
        memoryMib: 24_000,
        computeUnits: 80,
        maxBatchSize: 8,
        expectedDurationMs: 90_000n,
        minComputeCapability: "8.0",
        inputTokens: 100,
        outputTokens: 20,
      },
    });
  });

  test("sends every wish as the contract names it", async () => {
    const options = "--slo-first-output 500ms --slo-total 20s --deadline 2030-01-31T12:00:00+01:00 --when-late fail --session chat-1 --gpus 4 --preemptible --checkpoint";
    await run(here("route", "--model", "m", ...options.split(" ")));
    expect(router.routed[0]).toMatchObject({
      slo: { firstOutputMs: 500n, totalMs: 20_000n },
      deadline: timestampFromMs(Date.UTC(2030, 0, 31, 11)),
      whenLate: WhenLate.FAIL,
      sessionKey: "chat-1",
      gpus: 4,
      preemptible: true,
      checkpoint: true,
    });
  });

  test("sends the time-outs of each place where it may stand, and what an interruption means; 0s is none, and what is not said the router's", async () => {
    const options = "--waiting-timeout 10s --starting-timeout 1m --answering-timeout 5s --running-timeout 2h --on-interruption fail";
    await run(here("route", "--model", "m", ...options.split(" ")));
    expect(router.routed[0]).toMatchObject({ timeouts: { waitingMs: 10_000n, startingMs: 60_000n, answeringMs: 5_000n, runningMs: 7_200_000n }, onInterruption: OnInterruption.FAIL });
    await run(here("route", "--model", "m", "--waiting-timeout", "0s", "--on-interruption", "restart"));
    const { timeouts, onInterruption } = router.routed[1] ?? {};
    expect([timeouts?.waitingMs, timeouts?.startingMs, onInterruption]).toEqual([0n, undefined, OnInterruption.RESTART]);
  });

  test("takes a deadline from now on, too", async () => {
    const before = Date.now();
    await run(here("route", "--model", "m", "--deadline", "10m"));
    const { deadline } = router.routed[0] ?? {};
    const inMs = deadline === undefined ? 0 : timestampMs(deadline) - before;
    expect(inMs).toBeGreaterThanOrEqual(600_000);
    expect(inMs).toBeLessThan(660_000);
  });

  test("leaves out what is not given, so that the router's defaults hold", async () => {
    await run(here("route", "--model", "m"));
    expect(router.routed[0]).toMatchObject({ requestId: "", priority: 0, type: "", timeoutMs: 0n, payload: { case: undefined }, whenLate: WhenLate.UNSPECIFIED, sessionKey: "", gpus: 0, checkpoint: false });
    expect([router.routed[0]?.timeouts, router.routed[0]?.onInterruption]).toEqual([undefined, OnInterruption.UNSPECIFIED]);
    const { idempotent, deadline, slo, preemptible } = router.routed[0] ?? {};
    expect([idempotent, deadline, slo, preemptible]).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("takes payload bytes from a file and from stdin as they are", async () => {
    const file = path.join(await mkdtemp(path.join(tmpdir(), "payload-")), "p.json");
    await writeFile(file, '{"b": 1.50}');
    await run(here("route", "--model", "m", "--payload", `@${file}`));
    await run(here("route", "--model", "m", "--payload", "-"), testTerminal({ stdin: "\u0000raw" }));
    expect(router.routed.map(({ payload }) => payload.case === "payloadBytes" && Buffer.from(payload.value).toString())).toEqual(['{"b": 1.50}', "\u0000raw"]);
  });

  test.each([
    [["route"], /required option '-m, --model <name>'/],
    [["route", "--model", "m", "--priority", "9"], /whole number from 1 to 5/],
    [["route", "--model", "m", "--timeout", "soon"], /Give a duration such as/],
    [["route", "--model", "m", "--deadline", "tomorrow"], /Give a time such as 2030-01-31T12:00:00Z, or how long from now/],
    [["route", "--model", "m", "--when-late", "wait"], /Allowed choices are demote, fail/],
    [["route", "--model", "m", "--on-interruption", "continue"], /Allowed choices are restart, fail/],
    [["route", "--model", "m", "--running-timeout", "soon"], /Give a duration such as/],
    [["route", "--model", "m", "--gpus", "65"], /whole number from 1 to 64/],
    [["route", "--model", "m", "--payload", "{oops"], /--payload is not JSON .*use @FILE or -/],
    [["route", "--model", "m", "--payload", "@/does/not/exist"], /--payload @\/does\/not\/exist cannot be read/],
    [["route", "--model", "m", "--router", "http://x:1"], /--router http:\/\/x:1 is not an address: give host:port/],
    [["route", "--model", "m", "--no-batch-split"], /need --batch: one request is not spread/],
    [["route", "--model", "m", "--batch", "/does/not/exist"], /--batch \/does\/not\/exist cannot be read/],
    [["route", "--model", "m", "--batch", "-", "--payload", "{}"], /--payload is for one request/],
    [["route", "--model", "m", "--batch", "-"], /there is no request in it/],
    [["frobnicate"], /unknown command 'frobnicate'/],
    [["explain"], /explain needs a request/],
    [["explain", "id", "--dry-run"], /not both/],
    [["list", "--state", "odd"], /Give one of queued/],
    [["simulate", "--no-ablations"], /--no-ablations are of --compare/],
    [["simulate", "--goodput", "--compare"], /not both/],
    [["simulate", "--goodput", "--load", "7"], /search the load themselves: leave out --load/],
    [["simulate", "--compare", "--load", "1"], /search the load themselves: leave out --load/],
    [["simulate", "--compare", "--policy", "random"], /--compare says itself which policies it compares: leave out --policy/],
    [["simulate", "--compare", "--strategy", "random"], /leave out --policy/],
    [["capacity", "--rate", "5", "--load", "2"], /give --rate or --load, not both/],
    [["capacity", "--kinds", "L40S", "--fleet", "8xB200"], /--fleet is what scenario stands for in --kinds/],
    [["serve", "--grpc-port", "70000"], /--grpc-port.*Give a whole number from 0 to 65535/],
    [["up", "--simulate", "0"], /--simulate.*Give a whole number from 1 to 1024/],
    [["agent", "--grace", "soon"], /--grace.*Give a number from 0 and at most 86400/],
  ])("bad usage %j ends with exit code 2 and says what is wanted", async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
  });

  test.each([
    [RequestState.COMPLETED, 0],
    [RequestState.FAILED, 1],
    [RequestState.CANCELLED, 3],
  ] as const)("--wait prints output live and ends with the fate as exit code: state %d gives %d", async (state, expected) => {
    router.behaviour.output = ["Why", " not"];
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    const terminal = testTerminal();
    const ended = run(here("route", "--model", "m", "--id", "w", "--wait"), terminal);
    await terminal.stdout.seen(/Why not/);
    router.end("w", state);
    const { code, out, err } = await ended;
    expect(code).toBe(expected);
    expect(out).toBe("Why not");
    expect(err).toContain("w processing on gpu-sim-0");
    if (state === RequestState.FAILED) expect(err).toContain("runner_failed: it broke (exit code 7)");
  });

  test("--wait without streamed output prints the result", async () => {
    router.behaviour.result = "42";
    expect(await run(here("route", "--model", "m", "--follow"))).toMatchObject({ code: 0, out: "42" });
  });

  test("--wait --json prints one event per line and nothing else", async () => {
    router.behaviour.output = ["x"];
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    const terminal = testTerminal();
    const ended = run(here("route", "--model", "m", "--id", "w", "--wait", "--json"), terminal);
    await terminal.stdout.seen(/eA==/);
    router.end("w", RequestState.COMPLETED);
    const { out } = await ended;
    const events = out.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, { state?: string; data?: string }>);
    expect(events.map((event) => event["request"]?.state ?? event["output"]?.data)).toEqual(["REQUEST_STATE_PROCESSING", "eA==", "REQUEST_STATE_COMPLETED"]);
  });

  test("Ctrl-C while waiting detaches, says how to cancel, and cancels nothing", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    const terminal = testTerminal();
    const ended = run(here("route", "--model", "m", "--id", "long", "--wait"), terminal);
    await terminal.stderr.seen(/processing/);
    terminal.pressInterrupt();
    const { code, err } = await ended;
    expect(code).toBe(130);
    expect(err).toContain("gpu-router cancel long");
    expect(router.requests.get("long")?.info.state).toBe(RequestState.PROCESSING);
  });

  test("--wait on a terminal tells what happens on lines of its own, also behind output that ended within one", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    router.behaviour.output = ["no end of line"];
    const terminal = testTerminal({ tty: true });
    const both: string[] = [];
    for (const stream of [terminal.stdout, terminal.stderr]) {
      const written = stream._write.bind(stream);
      stream._write = (chunk: Buffer, encoding, callback) => {
        both.push(chunk.toString());
        written(chunk, encoding, callback);
      };
    }
    const ended = run(here("route", "--model", "m", "--id", "r", "--wait"), terminal);
    await terminal.stdout.seen(/no end of line/);
    router.end("r", RequestState.COMPLETED);
    await ended;
    // oxlint-disable-next-line no-control-regex
    expect(both.join("").replaceAll(/\u001B\[\d+m/g, "")).toMatch(/no end of line\nr completed .*\n$/);
  });

  test("of a model that nobody serves tells so, with the one that was meant", async () => {
    router.behaviour.hopeless = true;
    router.gpus.splice(0, 2, fakeGpu("gpu-sim-0", 0, { models: ["llama-3-8b", "whisper"] }));
    expect((await run(here("route", "--model", "lama-3-8b"))).out).toContain("no GPU serves lama-3-8b now; did you mean llama-3-8b?");
    expect((await run(here("route", "--model", "colour"))).out).toContain("no GPU serves colour now; see MODELS of gpu-router gpus");
    expect((await run(here("route", "--model", "whisper"))).out).not.toContain("no GPU serves");
  });

  test.each([
    ["an HTTP port", "Protocol error", /does not speak gRPC: give --router the router's gRPC port/],
    ["a name that does not exist", "Name resolution failed for target dns:x", /cannot be resolved: check its spelling/],
  ])("%s is told from a router that is away", (_what, details, message) => {
    const error = Object.assign(new Error(details), { code: status.UNAVAILABLE, details });
    expect(describeFailure(error, "x:1").message).toMatch(message);
  });

  test("--wait goes on across a restart of the router and prints no output twice", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    router.behaviour.output = ["once"];
    const terminal = testTerminal();
    const ended = run(here("route", "--model", "m", "--id", "r", "--wait"), terminal);
    await terminal.stdout.seen(/once/);
    router.crash();
    await terminal.stderr.seen(/lost, trying again/);
    await router.start();
    router.end("r", RequestState.COMPLETED);
    const { code, out, err } = await ended;
    expect({ code, out }).toEqual({ code: 0, out: "once" });
    // However often it was tried.
    expect(err.match(/lost, trying again|connected again/g)).toEqual(["lost, trying again", "connected again"]);
  });
});

describe("status, list, watch, cancel", () => {
  test("status shows the request, as text and as snake_case JSON with defaults", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    await run(here("route", "--model", "m", "--id", "s", "--user", "bob"));
    const text = await run(here("status", "s"));
    expect(text.out).toMatch(/request\s+s\nstate\s+processing\nmodel\s+m\n/);
    const { request } = JSON.parse((await run(here("status", "s", "--json"))).out) as { request: Record<string, unknown> };
    expect(request).toMatchObject({ request_id: "s", user_id: "bob", state: "REQUEST_STATE_PROCESSING", queue_position: 0 });
  });

  test("a GPU that is not there is told in the words of the command line", async () => {
    router.behaviour.refuse = () => ({ code: status.NOT_FOUND, details: 'gpu_ids: no GPU with id "x"; leave gpu_ids empty to see all' });
    expect((await run(here("route", "--model", "m"))).err).toBe('gpu-router: no GPU with id "x": see all with `gpu-router gpus`\n');
  });

  test("an unknown id is one clear line and exit code 1", async () => {
    for (const command of ["status", "watch", "cancel"]) {
      expect(await run(here(command, "nope"))).toEqual({
        code: 1,
        out: "",
        err: "gpu-router: no request nope: see what the router knows with `gpu-router list`\n",
      });
    }
  });

  test("list pages to its limit, filters, and says when there is more", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    for (let index = 0; index < 5; index += 1) await run(here("route", "--model", "m", "--id", `l${index}`, "--user", index % 2 === 0 ? "even" : "odd"));
    const { out, err } = await run(here("list", "--limit", "3"));
    expect(out.match(/^l\d/gm)).toEqual(["l4", "l3", "l2"]);
    expect(err).toContain("There are more");
    const even = JSON.parse((await run(here("list", "--user", "even", "--state", "processing", "--json"))).out) as { requests: { request_id: string }[] };
    expect(even.requests.map((request) => request.request_id)).toEqual(["l4", "l2", "l0"]);
    expect((await run(here("list", "--state", "failed"))).out).toBe("No requests.\n");
  });

  test("cancel ends a request and says where it stands", async () => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    await run(here("route", "--model", "m", "--id", "c"));
    expect((await run(here("cancel", "c", "--reason", "enough"))).out).toMatch(/^c cancelled on gpu-sim-0 after .*: enough\n/);
    const { code, err } = await run(here("watch", "c"));
    expect(code).toBe(3);
    expect(err).toMatch(/c cancelled .*: enough\n/);
    expect((await run(here("status", "c"))).out).toMatch(/cancelled for +enough\n/);
    expect((await run(here("list"))).out).toMatch(/ WHY\n.* enough\n/);
  });
});

describe("route --batch", () => {
  const payloads = (): unknown[] => router.batches[0]?.requests.map(({ payload }) => (payload.case === "payloadBytes" ? Buffer.from(payload.value).toString() : payload.value)) ?? [];

  test("sends each line of the file as one request, the other options with all, and says what came of them", async () => {
    const stdin = '{"prompt":"one"}\n\n "two" \n{"prompt":"three"}\n';
    const { code, out } = await run(here("route", "--model", "m", "--priority", "1", "--id", "night", "--batch", "-", "--no-batch-split", "--min-batch-size-per-gpu", "8"), testTerminal({ stdin }));
    expect(code).toBe(0);
    expect(router.batches).toMatchObject([{ batchSplit: false, minBatchSizePerGpu: 8 }]);
    expect(router.batches[0]?.requests.map(({ requestId, modelId, priority }) => [requestId, modelId, priority])).toEqual([["night-1", "m", 1], ["night-3", "m", 1], ["night-4", "m", 1]]);
    expect(payloads()).toEqual([{ prompt: "one" }, '"two"', { prompt: "three" }]);
    expect(out).toMatch(/^night-1 accepted on gpu-sim-0\nnight-3 accepted on gpu-sim-1\nnight-4 accepted on gpu-sim-0\n3 requests: 3 accepted on 2 GPUs, 0 queued, 0 rejected\n$/);
  });

  test("leaves to the router what is not asked for, and fails when one of them is refused", async () => {
    router.batchOutcome = (_, index) => (index === 0 ? { requestId: "a", status: RouteStatus.REJECTED, message: "the queue is full" } : { requestId: "b", status: RouteStatus.QUEUED, queuePosition: 7 });
    const file = path.join(await mkdtemp(path.join(tmpdir(), "batch-")), "prompts.jsonl");
    await writeFile(file, "1\n2");
    const { code, out } = await run(here("route", "--model", "m", "--batch", file));
    expect(code).toBe(1);
    expect(router.batches[0]?.batchSplit).toBeUndefined();
    expect(router.batches).toMatchObject([{ minBatchSizePerGpu: 0, requests: [{ requestId: "" }, { requestId: "" }] }]);
    expect(out).toMatch(/^a rejected: the queue is full\nb queued, 7 ahead\n2 requests: 0 accepted on 0 GPUs, 1 queued, 1 rejected\n$/);
    expect(JSON.parse((await run(here("route", "--model", "m", "--batch", file, "--json"))).out)).toMatchObject({ responses: [{ request_id: "a" }, { request_id: "b" }] });
  });

  /** Requests w-1 to w-n that the batch of `n` lines is answered with; `end` ends them. */
  const sendBefore = async (n: number): Promise<void> => {
    router.behaviour.runMs = () => Number.POSITIVE_INFINITY;
    for (let line = 1; line <= n; line += 1) await run(here("route", "--model", "m", "--id", `w-${line}`));
  };
  const waiting = (...more: string[]): string[] => here("route", "--model", "m", "--id", "w", "--batch", "-", "--wait", ...more);
  const stdinOf = (n: number): string => Array.from({ length: n }, () => "{}\n").join("");

  test("--wait prints each end as a line of JSON, with its line and its result, as it comes", async () => {
    await sendBefore(3);
    router.behaviour.result = "an answer";
    const terminal = testTerminal({ stdin: stdinOf(3) });
    const ended = run(waiting(), terminal);
    await expectEventually(() => router.batches.length === 1);
    router.end("w-2", RequestState.COMPLETED);
    await terminal.stdout.seen(/w-2/);
    router.end("w-1", RequestState.COMPLETED);
    await terminal.stdout.seen(/w-1/);
    router.end("w-3", RequestState.COMPLETED);
    const { code, out, err } = await ended;
    expect(code).toBe(0);
    const lines = out.trimEnd().split("\n").map((line) => JSON.parse(line) as object);
    expect(lines).toMatchObject([2, 1, 3].map((line) => ({ line, request_id: `w-${line}`, state: "completed", result: "an answer" })));
    expect(err).toMatch(/^batch: 3 of 3 ended, /m);
  });

  test("--wait fails when one fails or was rejected, and says which and why", async () => {
    await sendBefore(2);
    router.batchOutcome = (request, index) => (index === 2 ? { requestId: request.requestId, status: RouteStatus.REJECTED, rejection: "queue_full", message: "the queue is full" } : { requestId: request.requestId, status: RouteStatus.ACCEPTED });
    const terminal = testTerminal({ stdin: stdinOf(3) });
    const ended = run(waiting(), terminal);
    await expectEventually(() => router.batches.length === 1);
    router.end("w-1", RequestState.FAILED);
    router.end("w-2", RequestState.COMPLETED);
    const { code, out, err } = await ended;
    expect(code).toBe(1);
    expect(out.trimEnd().split("\n").map((line) => JSON.parse(line) as { line: number }).toSorted((a, b) => a.line - b.line)).toMatchObject([
      { line: 1, state: "failed", error: { code: "runner_failed", message: "it broke", exit_code: 7 } },
      { line: 2, state: "completed" },
      { line: 3, state: "rejected", error: { code: "queue_full", message: "the queue is full" } },
    ]);
    expect(err).toContain("3 of 3 ended, 2 failed");
  });

  test("--wait goes on across a restart of the router, tells of each end once, and ends with 3 when one was cancelled", async () => {
    await sendBefore(2);
    const terminal = testTerminal({ stdin: stdinOf(2) });
    const ended = run(waiting("--json"), terminal);
    await expectEventually(() => router.batches.length === 1);
    router.end("w-1", RequestState.COMPLETED);
    await terminal.stdout.seen(/w-1/);
    router.crash();
    await router.start();
    router.end("w-2", RequestState.CANCELLED);
    const { code, out } = await ended;
    expect(code).toBe(3);
    const states = out.trimEnd().split("\n").map((line) => (JSON.parse(line) as { request: { request_id: string; state: string } }).request);
    expect(states).toMatchObject([{ request_id: "w-1", state: "REQUEST_STATE_COMPLETED" }, { request_id: "w-2", state: "REQUEST_STATE_CANCELLED" }]);
  });

  test("--wait detaches at Ctrl-C, says how many go on, and cancels nothing", async () => {
    await sendBefore(2);
    const terminal = testTerminal({ stdin: stdinOf(2), tty: true });
    const ended = run(waiting(), terminal);
    await expectEventually(() => router.batches.length === 1);
    router.end("w-2", RequestState.COMPLETED);
    await terminal.stdout.seen(/w-2/);
    terminal.pressInterrupt();
    const { code, err } = await ended;
    expect(code).toBe(130);
    expect(err).toMatch(/█+░+ 1 of 2 ended/);
    expect(err).toContain(`Detached; 1 of 2 requests go on. See them with \`gpu-router list --router ${router.address}\`.`);
    expect(router.requests.get("w-1")?.info.state).toBe(RequestState.PROCESSING);
  });

  test("names the line that is no JSON, and refuses more than one call takes", async () => {
    expect((await run(here("route", "--model", "m", "--batch", "-"), testTerminal({ stdin: "1\n{oops\n" }))).err).toMatch(/--batch: line 2 is not JSON/);
    expect((await run(here("route", "--model", "m", "--batch", "-"), testTerminal({ stdin: "1\n".repeat(1_001) }))).err).toMatch(/1,001 requests are more than the 1,000 of one call/);
    expect(router.batches).toEqual([]);
  });
});

describe("gpus", () => {
  test("prints a table of the fleet", async () => {
    router.gpus.push(fakeGpu("gpu-sim-2", 2, { state: GpuState.ERROR, stateReason: "xid 79" }));
    const { out } = await run(here("gpus"));
    expect(out).toMatch(/GPU\s+NAME\s+NODE\s+STATE/);
    expect(out).toMatch(/gpu-sim-0 .*active .*12%\s+1024\/81920\s+0\s+41 °C\s+90 W/);
    expect(out).toContain("error (xid 79)");
    expect(out).toContain("3 GPUs, 2 active, 0 requests on them");
  });

  test("--estimates shows how near the router's estimates came", async () => {
    expect((await run(here("gpus", "--estimates"))).out).toMatch(/^No estimates to judge/);
    router.estimates.push(create(EstimateAccuracySchema, { modelId: "llama", type: "inference", outcomes: 1_200n, meanRelativeError: 0.254, meanRatio: 1.1, withinP90: 0.918 }));
    expect((await run(here("gpus", "--estimates"))).out).toMatch(/MODEL .*ERROR .*WITHIN P90\nllama +inference +1,200 +25% +1\.10 +92%\n$/);
    expect(JSON.parse((await run(here("gpus", "--json"))).out)).toMatchObject({ estimates: [{ model_id: "llama", outcomes: "1200" }] });
  });

  test("has a column for engines only when one tells of itself", async () => {
    expect((await run(here("gpus"))).out).not.toContain("ENGINE");
    router.gpus.push(fakeGpu("gpu-sim-2", 2, { engineLoads: [{ runner: "vllm", running: 12, waiting: 3, kvUse: 0.468 }, { runner: "tgi", running: 1 }] }));
    const { out } = await run(here("gpus"));
    expect(out).toMatch(/MODELS +ENGINE\n/);
    expect(out).toMatch(/gpu-sim-0 .* -\n/);
    expect(out).toMatch(/gpu-sim-2 .* 12 running, 3 waiting, KV 47%; 1 running, 0 waiting\n/);
  });

  test("--watch --json prints changes as lines and resumes with its token after a restart", async () => {
    const terminal = testTerminal();
    const ended = run(here("gpus", "--watch", "--json"), terminal);
    await terminal.stdout.seen(/token-1/);
    router.changeFleet([fakeGpu("gpu-sim-1", 1, { activeRequests: 9 })], "token-2");
    await terminal.stdout.seen(/token-2/);
    router.crash();
    await terminal.stderr.seen(/trying again/);
    await router.start();
    await expectEventually(() => router.watchGpusRequests.at(-1)?.resumeToken === "token-2");
    router.changeFleet([fakeGpu("gpu-sim-1", 1)], "token-3");
    await terminal.stdout.seen(/token-3/);
    terminal.pressInterrupt();
    const { code, out, err } = await ended;
    expect(code).toBe(0);
    expect(err.match(/trying again|connected again/g)).toEqual(["trying again", "connected again"]);
    const lines = out.trimEnd().split("\n").map((line) => JSON.parse(line) as { snapshot: boolean; gpus: unknown[] });
    expect(lines.map((line) => [line.snapshot, line.gpus.length])).toEqual([[true, 2], [false, 1], [false, 1]]);
  });

  test("--watch into a pipe says which GPUs are no longer part of the fleet; on a terminal their rows go", async () => {
    const terminal = testTerminal();
    const ended = run(here("gpus", "--watch"), terminal);
    await terminal.stdout.seen(/2 GPUs/);
    router.changeFleet([], "token-2", ["gpu-sim-1"]);
    await terminal.stdout.seen(/gpu-sim-1 is no longer part of the fleet\n/);
    terminal.pressInterrupt();
    expect((await ended).code).toBe(0);
    const tty = testTerminal({ tty: true, env: { NO_COLOR: "1" } });
    const drawn = run(here("gpus", "--watch"), tty);
    await tty.stdout.seen(/2 GPUs/);
    router.changeFleet([], "token-2", ["gpu-sim-1"]);
    await tty.stdout.seen(/1 GPUs/);
    tty.pressInterrupt();
    await drawn;
  });

  test("--watch on a terminal redraws the whole table in place", async () => {
    const terminal = testTerminal({ tty: true, env: { NO_COLOR: "1" } });
    const ended = run(here("gpus", "--watch"), terminal);
    await terminal.stdout.seen(/2 GPUs/);
    router.changeFleet([fakeGpu("gpu-sim-1", 1, { activeRequests: 9 })], "token-2");
    await terminal.stdout.seen(/9 requests on them/);
    terminal.pressInterrupt();
    const { out } = await ended;
    expect(out).toContain("\u001B[4A");
    expect(out).not.toContain("\u001B[1m");
  });
});

describe("explain", () => {
  test("shows what filters removed and how candidates scored", async () => {
    router.explanation = create(ExplainResponseSchema, {
      dryRun: true,
      summary: "gpu-sim-1 has the highest score",
      decision: {
        strategy: "weighted",
        considered: 10,
        seed: 7,
        filters: [{ filter: "memory", removed: 4, needed: "60000 MiB free" }],
        candidates: [
          { gpuId: "gpu-sim-1", score: 0.8, telemetryAgeMs: 120n, terms: [{ scorer: "usage", value: 0.9, weight: 0.4 }, { scorer: "load", value: 0.5, weight: 0.2 }] },
          { gpuId: "gpu-sim-0", score: 0.5, telemetryAgeMs: 90n, terms: [{ scorer: "usage", value: 0.2, weight: 0.4 }] },
        ],
        estimate: { memoryMib: 60_000, durationMs: 1500n, source: "request" },
      },
    });
    const { out, code } = await run(here("explain", "--dry-run", "--model", "m", "--memory", "60000"));
    expect(code).toBe(0);
    expect(router.explained?.target).toMatchObject({ case: "dryRun", value: { modelId: "m", resourceRequirements: { memoryMib: 60_000 } } });
    expect(out).toContain("10 GPUs considered, 6 passed every filter");
    expect(out).toMatch(/memory\s+-4\s+60000 MiB free/);
    expect(out).toMatch(/gpu-sim-1\s+0\.800\s+0\.90 x 0\.40 = 0\.360\s+0\.50 x 0\.20 = 0\.100\s+120 ms old/);
    expect(out).toMatch(/gpu-sim-0\s+0\.500\s+0\.20 x 0\.40 = 0\.080\s+-/);
    expect(out).toContain("strategy weighted, tie-break seed 7; expects 60,000 MiB and 1.50 s on the GPU (source: request)");
  });
});

describe("explain, of a strategy that counts costs,", () => {
  test("shows those in seconds, and their sum, as times", async () => {
    router.explanation = create(ExplainResponseSchema, {
      decision: {
        strategy: "hybrid",
        considered: 2,
        candidates: [
          {
            gpuId: "gpu-sim-1",
            score: -1.304,
            terms: [{ scorer: "finish_seconds", value: 1.5, weight: -1 }, { scorer: "reuse_seconds", value: -0.296, weight: -1 }, { scorer: "risk_seconds", value: 0.2, weight: -0.5 }],
          },
          { gpuId: "gpu-sim-0", score: -83.4, terms: [{ scorer: "finish_seconds", value: 83.4, weight: -1 }] },
        ],
      },
    });
    const { out } = await run(here("explain", "r"));
    expect(out).toMatch(/CANDIDATE +COST +FINISH_SECONDS +REUSE_SECONDS +RISK_SECONDS +TELEMETRY\n/);
    expect(out).toMatch(/gpu-sim-1 +1\.30 s +1\.50 s +-296 ms +200 ms x 0\.50 = 100 ms +none\n/);
    expect(out).toMatch(/gpu-sim-0 +1 min 23 s +1 min 23 s +- +- +none\n/);
  });

  test("shows those in anything else as numbers, and a sum with gains as the score", async () => {
    const shown = async (...terms: { scorer: string; value: number; weight: number }[]): Promise<string> => {
      router.explanation = create(ExplainResponseSchema, { decision: { strategy: "s", considered: 1, candidates: [{ gpuId: "gpu-sim-1", score: -3.5, terms }] } });
      return (await run(here("explain", "r"))).out;
    };
    const waits = { scorer: "wait_seconds", value: 0.5, weight: -1 };
    expect(await shown({ scorer: "outstanding", value: 3, weight: -1 }, waits)).toMatch(/ COST +OUTSTANDING .*\ngpu-sim-1 +3\.500 +3\.000 +500 ms +none\n/);
    expect(await shown({ scorer: "usage", value: 0.5, weight: 1 }, waits)).toMatch(/ SCORE +USAGE .*\ngpu-sim-1 +-3\.500 +0\.50 x 1\.00 = 0\.500 +500 ms +none\n/);
  });
});

describe("failures", () => {
  test("a router that is not there is one line that says how to start it", async () => {
    router.stop();
    for (const command of [["status", "x"], ["watch", "x"], ["gpus"], ["gpus", "--watch"], ["route", "--model", "m", "--wait"]]) {
      const { code, out, err } = await run(here(...command));
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toBe(`gpu-router: cannot reach the router at ${router.address}: start it with \`gpu-router up\`, or pass --router ADDRESS\n`);
    }
  });

  test("the router's own refusals are passed on", async () => {
    router.behaviour.refuse = () => ({ code: status.RESOURCE_EXHAUSTED, details: "queue is full\u001B[31m" });
    const { code, err } = await run(here("route", "--model", "m"));
    expect(code).toBe(1);
    expect(err).toBe("gpu-router: RESOURCE_EXHAUSTED: queue is full\uFFFD[31m\n");
  });

  test("GPU_ROUTER_ADDRESS is the default address", async () => {
    const before = process.env["GPU_ROUTER_ADDRESS"];
    process.env["GPU_ROUTER_ADDRESS"] = router.address;
    try {
      expect((await run(["gpus"])).code).toBe(0);
    } finally {
      if (before === undefined) delete process.env["GPU_ROUTER_ADDRESS"];
      else process.env["GPU_ROUTER_ADDRESS"] = before;
    }
  });
});

describe("help", () => {
  test("--version prints the package's version and --help the commands", async () => {
    expect((await run(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { code, out } = await run(["--help"]);
    expect(code).toBe(0);
    for (const command of ["up", "serve", "agent", "route", "status", "list", "watch", "cancel", "gpus", "explain", "replay"]) {
      expect(out).toMatch(new RegExp(`^  ${command}\\b`, "m"));
    }
  });

  test("commands that are loaded when they are asked for have the same line before", async () => {
    const names = Object.keys(PLAN_COMMANDS);
    expect((await run(["--help", ...names])).out).toBe((await run(["--help"])).out);
    for (const name of names) expect((await run([name, "--help"])).out).toContain(`Usage: gpu-router ${name} [options]`);
  });

  test("every command that calls the router has examples, --router and --json", async () => {
    for (const command of ["route", "status", "list", "watch", "cancel", "gpus", "explain", "replay"]) {
      const { out } = await run([command, "--help"]);
      for (const text of ["--router <address>", "--json", "Examples:", `$ gpu-router ${command}`]) expect(out).toContain(text);
    }
  });
});

async function expectEventually(condition: () => boolean): Promise<void> {
  const untilMs = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > untilMs) throw new Error(`never became true: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
