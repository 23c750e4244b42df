// `gpu-router replay` end to end against a RouterService on a real port.
import { afterEach, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { FakeRouter, type Behaviour } from "./fake-router.js";
import { AZURE_CODE, AZURE_CONV, MOONCAKE, testWithTraces } from "./real-traces.js";
import { run, testTerminal } from "./test-terminal.js";
import { eventually } from "../eventually.js";

let router: FakeRouter;
afterEach(() => router.stop());

async function start(behaviour: Partial<Behaviour> = {}): Promise<void> {
  router = await new FakeRouter(behaviour).start();
}

async function trace(requests: number, everyMs: number, name = "conv.csv"): Promise<string> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), "replay-")), name);
  const rows = Array.from({ length: requests }, (_, index) => `${new Date(Date.UTC(2023, 10, 16) + index * everyMs).toISOString().replace("T", " ").replace("Z", "")},${100 + index},${10 + index}`);
  await writeFile(file, ["TIMESTAMP,ContextTokens,GeneratedTokens", ...rows].join("\n"));
  return file;
}

interface Report {
  readonly counts: Readonly<Record<string, number>>;
  readonly codes: readonly { fate: string; code: string; count: number }[];
  readonly gpus: readonly { gpu_id: string; requests: number; output_tokens: number }[];
  readonly tenants: readonly { tenant: string; sent: number }[];
  readonly attainment: { asked: number; kept: number; share: number } | null;
  readonly interrupted: boolean;
  readonly verification: { asked: number; changed: string[]; unknown: string[] } | null;
}

async function replay(...args: string[]): Promise<{ code: number; report: Report; err: string }> {
  const { code, out, err } = await run(["replay", ...args, "--json", "--router", router.address]);
  return { code, report: JSON.parse(out) as Report, err };
}

describe("replay", () => {
  test("sends every request once, as its tenant, and its report agrees with the router", async () => {
    await start({ fate: (_request, number) => (number % 10 === 3 ? RequestState.FAILED : RequestState.COMPLETED) });
    const { code, report } = await replay(await trace(40, 10), await trace(20, 20, "code.csv"), "--verify");
    expect(code).toBe(0);
    expect(report.counts).toMatchObject({ sent: 60, accepted: 60, completed: 54, failed: 6, refused: 0, lost: 0, ended_twice: 0, unfinished: 0 });
    expect(report.codes).toEqual([{ fate: "failed", code: "runner_failed", count: 6 }]);
    expect(report.tenants.map(({ tenant, sent }) => [tenant, sent])).toEqual([["code", 20], ["conv", 40]]);
    expect(report.verification).toEqual({ asked: 60, changed: [], unknown: [], unanswered: 0 });
    expect(router.routed).toHaveLength(60);
    expect(new Set(router.routed.map(({ requestId }) => requestId)).size).toBe(60);
    const tokens = router.routed.reduce((sum, request) => sum + (request.resourceRequirements?.outputTokens ?? 0), 0);
    expect(report.gpus.reduce((sum, gpu) => sum + gpu.output_tokens, 0)).toBe(tokens);
    expect(report.gpus.map(({ gpu_id, requests }) => [gpu_id, requests])).toEqual([["gpu-sim-0", 30], ["gpu-sim-1", 30]]);
  });

  test("the report page and the text come from one run", async () => {
    await start();
    const page = path.join(await mkdtemp(path.join(tmpdir(), "page-")), "report.html");
    const { code, out, err } = await run(["replay", await trace(5, 1), "--html", page, "--router", router.address, "--user", "one", "--model", "m9", "--priority", "5"]);
    expect(code).toBe(0);
    expect(out).toContain("sent 5 of 5, accepted 5, completed 5 (100%)");
    expect(err).toContain(`Report page: ${page}`);
    expect(await readFile(page, "utf8")).toContain("<b>conv.csv</b>");
    expect(router.routed[0]).toMatchObject({ userId: "one", modelId: "m9", priority: 5 });
  });

  test("users, priorities, SLO and outcomes: each request as the options say, and a line for each", async () => {
    await start();
    const outcomes = path.join(await mkdtemp(path.join(tmpdir(), "outcomes-")), "outcomes.jsonl");
    const slo = ["--slo-first-output", "20s", "--slo-total", "30s", "--slo-factor", "2", "--slo-gpu", "T4"];
    const { code, report } = await replay(await trace(40, 1), await trace(20, 2, "code.csv"), "--users", "2", "--priority", "5,1,3", "--outcomes", outcomes, ...slo);
    expect(code).toBe(0);
    const priorities = new Map(router.routed.map(({ userId, priority }) => [userId ?? "", priority]));
    expect([...priorities].sort()).toEqual([["code-1", 3], ["code-2", 5], ["conv-1", 5], ["conv-2", 1]]);
    expect(router.routed.every((request) => request.slo?.firstOutputMs === 20_000n && request.slo.totalMs === 30_000n)).toBe(true);
    const lines = (await readFile(outcomes, "utf8")).trim().split("\n").map((line) => JSON.parse(line) as { request_id: string; fate: string; in_slo: boolean });
    expect(lines).toHaveLength(60);
    expect(report.attainment).toEqual({ asked: 60, kept: lines.filter((line) => line.in_slo).length, share: expect.any(Number) });
    expect(new Set(lines.map((line) => line.request_id)).size).toBe(60);
  });

  test("a priority that is none is refused with what to give", async () => {
    const { code, err } = await run(["replay", "conv.csv", "--priority", "5,6"]);
    expect(code).not.toBe(0);
    expect(err).toContain("Give a whole number from 1 to 5, or several with commas between, such as 5,3.");
  });

  test("a crash of the router in the middle loses and doubles nothing", async () => {
    await start({ runMs: () => 60 });
    const ended = replay(await trace(100, 10), "--verify");
    await eventually(() => router.requests.size >= 40);
    router.crash();
    await eventually(() => Array.from(router.requests.values()).every(({ info }) => info.state === RequestState.COMPLETED));
    await router.start();
    const { code, report } = await ended;
    expect(report.counts).toMatchObject({ sent: 100, completed: 100, lost: 0, ended_twice: 0, unfinished: 0, unanswered: 0 });
    expect((report.counts["retries"] ?? 0) + (report.counts["reconnects"] ?? 0)).toBeGreaterThan(0);
    expect(router.requests.size).toBe(100);
    expect(code).toBe(0);
  });

  test("a router that forgets, doubles or changes an end is found out, and the exit code says so", async () => {
    await start({ doubleEnd: true });
    expect(await replay(await trace(3, 1))).toMatchObject({ code: 1, report: { counts: { completed: 3, ended_twice: 3 } } });
    router.stop();

    await start({ runMs: () => Number.POSITIVE_INFINITY });
    const forgotten = replay(await trace(2, 1));
    await eventually(() => router.requests.size === 2);
    await eventually(() => Array.from(router.requests.values()).every(({ watchers }) => watchers.size === 1));
    router.crash();
    router.requests.delete(Array.from(router.requests.keys())[0] ?? "");
    for (const id of router.requests.keys()) router.end(id, RequestState.COMPLETED);
    await router.start();
    expect(await forgotten).toMatchObject({ code: 1, report: { counts: { completed: 1, lost: 1 }, codes: [{ fate: "lost", code: "NOT_FOUND" }] } });
  });

  test("refusals are counted by code and are no fault of the replay", async () => {
    await start({ refuse: (_request) => (router.routed.length % 2 === 0 ? { code: status.RESOURCE_EXHAUSTED, details: "queue is full" } : null) });
    const { code, report } = await replay(await trace(10, 1));
    expect(code).toBe(0);
    expect(report.counts).toMatchObject({ sent: 10, accepted: 5, refused: 5, completed: 5 });
    expect(report.codes).toEqual([{ fate: "refused", code: "RESOURCE_EXHAUSTED", count: 5 }]);
  });

  test("Ctrl-C stops the sending, waits for what is in flight and still reports", async () => {
    await start({ runMs: () => 100 });
    const terminal = testTerminal();
    const ended = run(["replay", await trace(50, 60_000), "--json", "--router", router.address], terminal);
    await eventually(() => router.requests.size === 1);
    terminal.pressInterrupt();
    const { code, out } = await ended;
    expect(code).toBe(130);
    expect(JSON.parse(out)).toMatchObject({ interrupted: true, counts: { sent: 1, completed: 1, unfinished: 0 } });
  });

  test("a second Ctrl-C gives up on what is in flight", async () => {
    await start({ runMs: () => Number.POSITIVE_INFINITY });
    const terminal = testTerminal();
    const ended = run(["replay", await trace(2, 1), "--json", "--router", router.address], terminal);
    // Accepted and watched: one whose answer is still under way would be unanswered, not unfinished.
    await eventually(() => [...router.requests.values()].filter(({ watchers }) => watchers.size > 0).length === 2);
    terminal.pressInterrupt();
    await terminal.stderr.seen(/Press Ctrl-C again/);
    terminal.pressInterrupt();
    const { code, out } = await ended;
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ counts: { sent: 2, unfinished: 2 } });
  });

  test("nothing is sent when a trace is broken, out of range, or the router is not there", async () => {
    await start();
    const broken = await trace(3, 1);
    await writeFile(broken, `${await readFile(broken, "utf8")}\noops\n`);
    const args = ["--router", router.address];
    expect((await run(["replay", broken, ...args])).err).toMatch(/conv\.csv:5: not a row/);
    expect(await run(["replay", await trace(3, 1), "--duration", "0", ...args])).toMatchObject({ code: 1, err: expect.stringContaining("hold no requests in this range") });
    expect((await run(["replay", await trace(3, 1), "--html", "/no/such/folder/x.html", ...args])).err).toContain("cannot write /no/such/folder/x.html");
    expect(router.routed).toHaveLength(0);
    router.stop();
    expect((await run(["replay", await trace(3, 1), ...args])).err).toContain("cannot reach the router");
  });

  testWithTraces("the beginning of three real traces, merged, goes through", async () => {
    await start();
    const { code, report } = await replay(AZURE_CONV, AZURE_CODE, MOONCAKE, "--limit", "900", "--speed", "400");
    expect(code).toBe(0);
    expect(report.counts).toMatchObject({ sent: 900, completed: 900, lost: 0 });
    expect(report.tenants.map(({ tenant }) => tenant)).toEqual(["AzureLLMInferenceTrace_code", "AzureLLMInferenceTrace_conv", "conversation_trace"]);
  });
});
