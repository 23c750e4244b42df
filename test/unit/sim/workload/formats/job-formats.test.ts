import { describe, expect, test } from "@jest/globals";
import path from "node:path";

import { fileFormat } from "../../../../../src/sim/workload/formats/detect-format.js";
import { readTrace, type TraceRow } from "../../../../../src/sim/workload/formats/trace-format.js";
import { TraceError } from "../../../../../src/sim/workload/trace-error.js";
import { loadTrace, type Trace, type TraceWindow } from "../../../../../src/sim/workload/trace.js";
import { TRACES, testWithTraces } from "../real-traces.js";
import { folderWith } from "../temporary-file.js";

async function rowsOf(file: string): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  for await (const row of readTrace(path.join(TRACES, file), await fileFormat(path.join(TRACES, file)))) rows.push(row);
  return rows;
}

/** The one row of a file with this heading (none for "") and line, or what is wrong with it. */
async function rowOf(heading: string, line: string): Promise<TraceRow | string> {
  const file = path.join(await folderWith({ trace: `${heading === "" ? "" : `${heading}\n`}${line}\n` }), "trace");
  try {
    for await (const row of readTrace(file, await fileFormat(file))) return row;
  } catch (error) {
    return error instanceof TraceError ? error.message.replace(file, "FILE") : String(error);
  }
  return "nothing";
}

const PHILLY = "timestamp,duration,num_gpus,gpu_time,cluster";

test.each([
  ["2017-10-01 00:01:55,61.5,4,246.0,11cb48", { atMs: Date.UTC(2017, 9, 1, 0, 1, 55), sender: "11cb48", gpus: 4, workMs: 61_500, inputTokens: 0, outputTokens: 0 }],
  ["2017-13-01 00:01:55,61.5,1,61.5,11cb48", /^FILE:2: not a row of a Philly CSV: the column "timestamp" is "2017-13-01 00:01:55", which is no time \(a date such as/],
  ["2017-10-01 00:01:55,-1,1,61.5,11cb48", /"duration" is "-1", which is no length of time/],
  ["2017-10-01 00:01:55,61.5,1.5,9,11cb48", /"num_gpus" is "1.5", which is no number of GPUs/],
  ["2017-10-01 00:01:55,61.5", /the column "num_gpus" is not there/],
])("Philly row %j", async (line, expected) => {
  const row = await rowOf(PHILLY, line);
  if (expected instanceof RegExp) expect(row).toMatch(expected);
  else expect(row).toEqual(expected);
});

const PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time";
const POD = { inputTokens: 0, outputTokens: 0, sender: "LS", gpus: 1 };

test.each([
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290,430", { ...POD, atMs: 427_000, workMs: 860_000 }],
  ["openb-pod-1,6000,12288,1,460,V100M16|V100M32,LS,Pending,427,1290,", { ...POD, atMs: 427_000, workMs: 0 }],
  ["openb-pod-1,6000,12288,x,460,,LS,Running,427,1290,430", /"num_gpu" is "x", which is no number of GPUs/],
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290,soon", /"scheduled_time" is "soon", which is no time, nor empty/],
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290", /the column "scheduled_time" is not there/],
])("openb pod %j", async (line, expected) => {
  const row = await rowOf(PODS, line);
  if (expected instanceof RegExp) expect(row).toMatch(expected);
  else expect(row).toEqual(expected);
});

test.each([
  ['{"request_id": "bench-0", "input_toks": 2358, "output_toks": 531, "arrival_time": 1787267980.5, "queued_ts": 1.5}', { atMs: 1_787_267_980_500, inputTokens: 2358, outputTokens: 531 }],
  ['{"input_toks": 2358, "output_toks": 531}', /FILE:1: this is no trace that is known. It has the columns input_toks, output_toks; what is missing for a .*vLLM bench JSONL: arrival_time;/],
  ['{"input_toks": -1, "output_toks": 531, "arrival_time": 1}', /"input_toks" is -1, which is no number of tokens/],
  ["2358", /no trace that is known/],
])("vLLM bench row %j", async (line, expected) => {
  const row = await rowOf("", line);
  if (expected instanceof RegExp) expect(row).toMatch(expected);
  else expect(row).toEqual(expected);
});

const load = async (content: string, window?: TraceWindow): Promise<Trace> => {
  const file = path.join(await folderWith({ "jobs.csv": content }), "jobs.csv");
  return loadTrace(file, await fileFormat(file), window);
};
const job = (minute: number, gpus = 1): string => `2017-10-01 00:${String(minute).padStart(2, "0")}:00,${minute + 1},${gpus},1,a`;

test("rows in any order are sorted when they are loaded; what is no work for a GPU is left out and counted", async () => {
  const { rows, leftOut } = await load([PODS, "p2,1,1,1,1000,,LS,Running,20,40,20", "p1,1,1,1,1000,,BE,Running,10,40,10", "p3,1,1,0,0,,BE,Running,10,40,10", "p4,1,1,1,1000,,BE,Pending,10,40,"].join("\n"));
  expect([rows.map(({ sender }) => sender), leftOut]).toEqual([["BE", "LS"], 2]);
  await expect(load([PHILLY, job(1, 0), job(2, 0)].join("\n"))).rejects.toThrow("has no requests (2 rows without a GPU or without time are none)");
});

describe("a window", () => {
  const minutes = (trace: Trace): number[] => trace.rows.map(({ workMs = 0 }) => workMs / 1000 - 1);
  const window = { fromMs: 60_000, toMs: 180_000 };

  test("is cut from a trace in order while it is read: what is behind it is not looked at", async () => {
    const content = [PHILLY, ...[0, 1, 2, 3, 4, 5].map((minute) => job(minute)), "nonsense"].join("\n");
    expect(minutes(await load(content, window))).toEqual([1, 2]);
    await expect(load(content)).rejects.toThrow(/jobs\.csv:8: not a row/);
  });

  test("counts from the earliest time, wherever that stands", async () => {
    expect(minutes(await load([PHILLY, job(3), job(0), job(2), job(1)].join("\n"), window))).toEqual([1, 2]);
  });

  test("takes rows that come a little late, and refuses a file that is in order only at first", async () => {
    const late = [PHILLY, job(0), job(1), "2017-10-01 00:00:59,1,1,1,late", job(2)].join("\n");
    expect((await load(late, { toMs: 90_000 })).rows.map(({ sender }) => sender)).toEqual(["a", "late", "a"]);
    const first = Array.from({ length: 2100 }, (_, second) => `2017-10-01 00:${String(Math.floor(second / 60)).padStart(2, "0")}:${String(second % 60).padStart(2, "0")},1,1,1,a`);
    await expect(load([PHILLY, ...first, job(1)].join("\n"), { fromMs: 1000 })).rejects.toThrow("a time goes back by 2039 s: sort the trace by time, to take a window of it");
  });

  test("of which nothing is left is an error", async () => {
    await expect(load([PHILLY, job(0), job(1)].join("\n"), { fromMs: 600_000 })).rejects.toThrow("jobs.csv has no requests there");
  });
});

describe("the real traces", () => {
  // Counted on the file with another tool.
  testWithTraces("Philly's October has its jobs, durations and GPU time", async () => {
    const rows = await rowsOf("philly/philly-2017-10.csv.gz");
    const seconds = Float64Array.from(rows, ({ workMs = 0 }) => workMs / 1000).sort();
    const at = (ratio: number): number | undefined => seconds[Math.floor(ratio * (seconds.length - 1))];
    const gpuTime = (some: readonly TraceRow[]): number => some.reduce((sum, { gpus = 0, workMs = 0 }) => sum + gpus * workMs, 0);
    const ofOneGpu = rows.filter(({ gpus }) => gpus === 1);
    expect([rows.length, at(0.5), at(0.9), at(0.99)]).toEqual([47_192, 1684, 10_709, 211_441]);
    expect(ofOneGpu.length / rows.length).toBeCloseTo(0.953, 3);
    expect(gpuTime(ofOneGpu) / gpuTime(rows)).toBeCloseTo(0.2, 2);
    expect(new Set(rows.map(({ sender }) => sender)).size).toBe(11);
  });

  testWithTraces("openb has the published pods, by service class and by GPUs", async () => {
    const rows = await rowsOf("alibaba-openb-gpu-v2023/openb_pod_list_default.csv");
    const count = (which: (row: TraceRow) => boolean): number => rows.filter(which).length;
    expect([rows.length, count(({ sender }) => sender === "LS"), count(({ sender }) => sender === "BE")]).toEqual([8152, 4647, 3398]);
    expect(count(({ gpus }) => gpus === 1)).toBe(6989);
  });

  testWithTraces("each of the four vLLM runs has 300 requests over half a minute", async () => {
    const runs = ["RTX4090/Llama-3.1-8B", "RTXPRO6000/Llama-3.1-8B", "RTXPRO6000/Qwen3-30B-A3B-Instruct-2507", "RTXPRO6000/Qwen3-32B"];
    for (const run of runs) {
      const rows = await rowsOf(`llmservingsim-vllm/bench/${run}/requests.jsonl`);
      expect(rows).toHaveLength(300);
      expect(((rows.at(-1)?.atMs ?? 0) - (rows[0]?.atMs ?? 0)) / 1000).toBeCloseTo(29.1, 1);
    }
  });
});
