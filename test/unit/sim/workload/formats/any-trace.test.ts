// Traces that nobody has seen: whatever a small trace of a known format has, in whatever order and dress, it is read whole.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { openSource } from "../../../../../src/sim/workload/sources.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gpu-router-any-trace-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Row {
  /** Whole ms. */
  readonly atMs: number;
  readonly input: number;
  readonly output: number;
  readonly seconds: number;
  readonly gpus: number;
  readonly who: string;
}

const ROW = fc.record({
  // A week, with some on the same time.
  atMs: fc.oneof(fc.nat({ max: 604_800_000 }), fc.nat({ max: 20 }).map((minute) => minute * 60_000)),
  input: fc.nat({ max: 200_000 }),
  output: fc.nat({ max: 20_000 }),
  seconds: fc.integer({ min: 1, max: 1_000_000 }),
  gpus: fc.integer({ min: 1, max: 8 }),
  who: fc.constantFrom("ann", "bob", "Llama 3.1, 8B", "x"),
});
const DATE_MS = Date.UTC(2024, 4, 10);

/** How a file is dressed: what a format leaves open. */
const DRESS = fc.record({ lineEnd: fc.constantFrom("\n", "\r\n"), gzip: fc.boolean(), blank: fc.boolean(), order: fc.array(fc.nat(), { minLength: 12, maxLength: 12 }), extra: fc.boolean(), zone: fc.constantFrom("", "Z", "+00:00", "+02:00", "-0530") });
type Dress = typeof DRESS extends fc.Arbitrary<infer Of> ? Of : never;

const quoted = (text: string): string => (/[",;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const shuffled = <T>(items: readonly T[], { order }: Dress): T[] => items.map((item, place) => ({ item, key: order[place % order.length] ?? 0 })).toSorted((one, other) => one.key - other.key).map(({ item }) => item);

/** A CSV of columns, in an order of its own, maybe with one more. */
const csv = (columns: Readonly<Record<string, (row: Row, dress: Dress) => string | number>>) => (rows: readonly Row[], dress: Dress): string => {
  const all = shuffled([...Object.entries(columns), ...(dress.extra ? [["Remark", () => "so, so"] as const] : [])], dress);
  return [all.map(([name]) => quoted(name)), ...rows.map((row) => all.map(([, of]) => quoted(String(of(row, dress)))))].map((line) => line.join(",")).join(dress.lineEnd);
};
const jsonl = (of: (row: Row) => object) => (rows: readonly Row[], dress: Dress): string =>
  rows.map((row) => JSON.stringify(Object.fromEntries(shuffled(Object.entries({ ...of(row), ...(dress.extra && { remark: "so" }) }), dress)))).join(dress.lineEnd);

function date({ atMs }: Row, { zone }: Dress): string {
  const [, sign = "+", hours = "0", minutes = "0"] = /([+-])(\d\d):?(\d\d)/.exec(zone) ?? [];
  const shiftMs = (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  return new Date(DATE_MS + atMs + shiftMs).toISOString().replace("T", " ").replace("Z", zone);
}

interface Format {
  readonly name: string;
  readonly write: (rows: readonly Row[], dress: Dress) => string;
  readonly jobs?: true;
  /** What time remains of a row's; all unless given. */
  readonly kept?: (atMs: number) => number;
}

const toSecond = (atMs: number): number => Math.floor(atMs / 1000) * 1000;

const FORMATS: readonly Format[] = [
  { name: "Azure CSV", write: csv({ TIMESTAMP: date, ContextTokens: ({ input }) => input, GeneratedTokens: ({ output }) => output }) },
  { name: "BurstGPT CSV", write: csv({ Timestamp: ({ atMs }) => atMs / 1000, Model: ({ who }) => who, "Request tokens": ({ input }) => input, "Response tokens": ({ output }) => output, "Total tokens": ({ input, output }) => input + output, "Log Type": () => "API log" }) },
  { name: "Mooncake JSONL", write: jsonl(({ atMs, input, output }) => ({ timestamp: atMs, input_length: input, output_length: output, hash_ids: [0, input, 2 ** 40 + output] })) },
  { name: "vLLM bench JSONL", write: jsonl(({ atMs, input, output }) => ({ request_id: "r", input_toks: input, output_toks: output, arrival_time: 1_787_267_980 + atMs / 1000, queued_ts: 1.5 })) },
  { name: "Philly CSV", jobs: true, kept: toSecond, write: csv({ timestamp: ({ atMs }) => new Date(DATE_MS + atMs).toISOString().slice(0, 19).replace("T", " "), duration: ({ seconds }) => `${seconds}.0`, num_gpus: ({ gpus }) => gpus, gpu_time: ({ gpus, seconds }) => gpus * seconds, cluster: ({ who }) => who }) },
  { name: "openb pods CSV", jobs: true, kept: toSecond, write: csv({ name: () => "p", cpu_milli: () => 1, memory_mib: () => 1, num_gpu: ({ gpus }) => gpus, gpu_milli: () => 1000, gpu_spec: () => "", qos: ({ who }) => who, pod_phase: () => "Running", creation_time: ({ atMs }) => toSecond(atMs) / 1000, deletion_time: ({ atMs, seconds }) => toSecond(atMs) / 1000 + 5 + seconds, scheduled_time: ({ atMs }) => toSecond(atMs) / 1000 + 5 }) },
  { name: "table of requests", write: csv({ arrived_at: ({ atMs }) => atMs / 1000, num_prefill_tokens: ({ input }) => input, num_decode_tokens: ({ output }) => output, user: ({ who }) => who }) },
  { name: "table of jobs", jobs: true, write: jsonl(({ atMs, seconds, who }) => ({ submit_time: atMs / 1000, runtime: seconds, user: who })) },
];

/** Small traces with two times at least. */
const ROWS = fc.array(ROW, { minLength: 2, maxLength: 40 }).filter((rows) => new Set(rows.map(({ atMs }) => toSecond(atMs))).size > 1);

describe.each(FORMATS)("any small $name", ({ name, write, jobs, kept = (atMs: number): number => atMs }) => {
  test("gives as many requests as it has rows, in order, over its span, with its numbers", async () => {
    let file = 0;
    await fc.assert(
      fc.asyncProperty(ROWS, DRESS, async (rows, dress) => {
        file += 1;
        const where = path.join(folder, `${name.replaceAll(" ", "-")}-${file}`);
        const text = `${write(rows, dress)}${dress.blank ? dress.lineEnd.repeat(2) : ""}`;
        writeFileSync(where, dress.gzip ? gzipSync(text) : text);
        const source = await openSource(`file:${where}`, null);
        expect([source.format, source.requests, source.leftOut]).toEqual([name, rows.length, 0]);
        const times = rows.map(({ atMs }) => kept(atMs)).toSorted((one, other) => one - other);
        const spanMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
        expect(source.spanMs).toBeGreaterThan(spanMs * 0.999_999);
        const requests = [...source.stream(0, source.spanMs).requests(1)];
        expect(requests).toHaveLength(rows.length);
        // A grid may be seen in a handful of times; more than a minute wide it is not.
        for (const [place, { atMs }] of requests.entries()) expect(Math.abs(atMs - ((times[place] ?? 0) - (times[0] ?? 0)))).toBeLessThanOrEqual(60_000.01);
        for (const [place, { atMs }] of requests.entries()) expect(atMs).toBeGreaterThanOrEqual(requests[place - 1]?.atMs ?? -0.01);
        const sum = (of: (each: (typeof requests)[number]) => number): number => requests.reduce((total, each) => total + of(each), 0);
        const wanted = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
        if (jobs) expect(sum(({ workMs }) => workMs)).toBe(wanted(({ seconds }) => seconds * 1000));
        else expect([sum(({ inputTokens }) => inputTokens), sum(({ outputTokens }) => outputTokens)]).toEqual([wanted(({ input }) => input), wanted(({ output }) => output)]);
      }),
      { seed: 3, numRuns: 60 },
    );
  }, 60_000);

  test("or says by file and line what is wrong with it, whatever that is", async () => {
    let file = 0;
    await fc.assert(
      fc.asyncProperty(ROWS, DRESS, fc.nat(), fc.string({ maxLength: 8 }), async (rows, dress, at, text) => {
        file += 1;
        const where = path.join(folder, `broken-${name.replaceAll(" ", "-")}-${file}`);
        const whole = write(rows, dress);
        // Something else in the middle of it.
        const place = at % whole.length;
        writeFileSync(where, `${whole.slice(0, place)}${text}${whole.slice(place + text.length)}`);
        try {
          const source = await openSource(`file:${where}`, null);
          for (const { atMs } of source.stream(0, source.spanMs).requests(1)) expect(Number.isFinite(atMs)).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ name: "TraceError", message: expect.stringContaining(where) });
        }
      }),
      { seed: 4, numRuns: 60 },
    );
  }, 60_000);
});
