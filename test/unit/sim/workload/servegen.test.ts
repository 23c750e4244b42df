import { describe, expect, test } from "@jest/globals";
import path from "node:path";

import { readServegen, type ClientWindow, type ServegenTrace, type TokenShares } from "../../../../src/sim/workload/formats/servegen.js";
import { servegenStream } from "../../../../src/sim/workload/servegen-stream.js";
import { between, only } from "../../../../src/sim/workload/cut.js";
import type { StreamRequest } from "../../../../src/sim/workload/stream.js";
import { TRACES, testWithTraces } from "./real-traces.js";
import { folderWith } from "./temporary-file.js";
import { statisticsOf } from "./arrival-statistics.js";

const HEADING = "client,t_s,rate_rps,cv,pattern,shape,scale";
const LENGTHS = { a: { 1200: { input_tokens: [[10, 0.5], [20, 0.5]], output_tokens: [[1, 1]] } } };

async function clientsFile(rows: string, lengths: unknown = LENGTHS): Promise<string> {
  const folder = await folderWith({ "x.clients-10min.csv": `${HEADING}\n${rows}\n`, "x.top15-lengths.json": JSON.stringify(lengths) });
  return path.join(folder, "x.clients-10min.csv");
}

const one = (value: number): TokenShares => ({ values: [value], shares: [1] });

/** Two hours of a steady and a bursty client; only the steady one's lengths are known. */
const MADE_UP: ServegenTrace = {
  name: "made-up",
  clients: new Map<string, ClientWindow[]>([
    ["steady", Array.from({ length: 12 }, (_, index) => ({ atMs: index * 600_000, ratePerSecond: 2, cv: 1, pattern: "Gamma" }))],
    ["bursty", Array.from({ length: 12 }, (_, index) => ({ atMs: index * 600_000, ratePerSecond: 1.5, cv: 4, pattern: "Weibull" }))],
  ]),
  lengths: new Map([["steady", [{ atMs: 0, input: { values: [100, 300], shares: [0.25, 0.75] }, output: one(7) }, { atMs: 3_600_000, input: one(5), output: one(8) }]]]),
  durationMs: 7_200_000,
};

test("clients and lengths are read onto a clock that begins with the first window", async () => {
  const trace = await readServegen(await clientsFile("a,1800,2,1.5,Gamma,1,1\nb,1200,0.5,3,Weibull,1,1\na,1200,1,1,Gamma,1,1"));
  expect(trace.name).toBe("x");
  expect(trace.durationMs).toBe(1_200_000);
  expect(trace.clients.get("a")?.map(({ atMs, ratePerSecond }) => [atMs, ratePerSecond])).toEqual([[0, 1], [600_000, 2]]);
  expect(trace.clients.get("b")).toEqual([{ atMs: 0, ratePerSecond: 0.5, cv: 3, pattern: "Weibull" }]);
  expect(trace.lengths.get("a")).toEqual([{ atMs: 0, input: { values: [10, 20], shares: [0.5, 0.5] }, output: { values: [1], shares: [1] } }]);
});

test.each([
  ["a,1200,0,1,Gamma,1,1", LENGTHS, /x\.clients-10min\.csv:2: not a row of a ServeGen client table/],
  ["a,1200,1,1,Pareto,1,1", LENGTHS, /x\.clients-10min\.csv:2: not a row/],
  ["", LENGTHS, /has no clients/],
  ["a,1200,1,1,Gamma,1,1", {}, /has the lengths of no client/],
  ["a,1200,1,1,Gamma,1,1", { a: { 0: { input_tokens: [[1, -1]], output_tokens: [[1, 1]] } } }, /client a, window 0: \[1,-1\] is not a number of tokens with its share/],
  ["a,1200,1,1,Gamma,1,1", { a: { 0: { input_tokens: [], output_tokens: [[1, 1]] } } }, /client a, window 0: input_tokens and output_tokens must each be a list/],
])("a broken table is named by file and place: %j %j", async (rows, lengths, message) => {
  await expect(readServegen(await clientsFile(rows, lengths))).rejects.toThrow(message);
});

describe("drawn requests", () => {
  const stream = servegenStream(MADE_UP);
  const all = [...stream.requests(1)];

  test("hold each client's rate exactly, whatever its bursts", () => {
    expect(stream.senders).toEqual(["steady", "bursty"]);
    expect(all.filter(({ sender }) => sender === 0)).toHaveLength(14_400);
    expect(all.filter(({ sender }) => sender === 1)).toHaveLength(10_800);
    expect(all.every(({ atMs }, index) => atMs >= (all[index - 1]?.atMs ?? 0))).toBe(true);
  });

  test("have gaps that vary as each client's do", () => {
    expect(statisticsOf(only(stream, (sender) => sender === 0).requests(1)).cv).toBeCloseTo(1, 1);
    const { cv } = statisticsOf(only(stream, (sender) => sender === 1).requests(1));
    expect(cv).toBeGreaterThan(3);
    expect(cv).toBeLessThan(5);
  });

  test("have the client's lengths of the time, or those of the clients that have any", () => {
    for (const sender of [0, 1]) {
      const own = all.filter((request) => request.sender === sender);
      const early = own.filter(({ atMs }) => atMs < 3_600_000);
      expect(new Set(early.map(({ inputTokens }) => inputTokens))).toEqual(new Set([100, 300]));
      expect(early.filter(({ inputTokens }) => inputTokens === 300).length / early.length).toBeCloseTo(0.75, 1);
      expect(new Set(own.filter(({ atMs }) => atMs >= 3_600_000).map(({ inputTokens, outputTokens }) => `${inputTokens} ${outputTokens}`))).toEqual(new Set(["5 8"]));
    }
  });

  test("are the same for the same seed, wherever the pass begins, and others for another", () => {
    const text = (requests: Iterable<StreamRequest>): string => JSON.stringify([...requests]);
    expect(text(stream.requests(1, 1_000_000)) === text(all.filter(({ atMs }) => atMs >= 1_000_000))).toBe(true);
    expect(text(stream.requests(2)) === text(all)).toBe(false);
  });
});

describe("the real services", () => {
  testWithTraces("m-large has the published rates, and the top clients their published shares", async () => {
    const { clients } = await readServegen(path.join(TRACES, "servegen/m-large.clients-10min.csv.gz"));
    const byClient = [...clients.values()].map((windows) => windows.reduce((sum, { ratePerSecond }) => sum + ratePerSecond, 0)).sort((a, b) => b - a);
    const byWindow = new Map<number, number>();
    for (const { atMs, ratePerSecond } of [...clients.values()].flat()) byWindow.set(atMs, (byWindow.get(atMs) ?? 0) + ratePerSecond);
    const total = byClient.reduce((sum, rate) => sum + rate, 0);
    expect(clients.size).toBe(101);
    expect([total / 144, Math.min(...byWindow.values()), Math.max(...byWindow.values())].map(Math.round)).toEqual([279, 151, 583]);
    expect(Math.round(((byClient[0] ?? 0) / total) * 100)).toBe(28);
    expect(Math.round((byClient.slice(0, 5).reduce((sum, rate) => sum + rate, 0) / total) * 100)).toBe(68);
  });

  testWithTraces("m-mid and m-small are read too", async () => {
    const sizes = await Promise.all(["mid", "small"].map(async (size) => (await readServegen(path.join(TRACES, `servegen/m-${size}.clients-10min.csv.gz`))).clients.size));
    expect(sizes).toEqual([81, 31]);
  });

  testWithTraces("requests drawn for ten minutes are as many as the clients' rates say", async () => {
    const trace = await readServegen(path.join(TRACES, "servegen/m-large.clients-10min.csv.gz"));
    const atMs = 36_000_000;
    const published = [...trace.clients.values()].flat().filter((window) => window.atMs === atMs).reduce((sum, { ratePerSecond }) => sum + ratePerSecond * 600, 0);
    const drawn = statisticsOf(between(servegenStream(trace), atMs, atMs + 600_000).requests(1)).count;
    // The fraction of each client's count is drawn by lot.
    expect(Math.abs(drawn - published)).toBeLessThan(trace.clients.size);
  });
});
