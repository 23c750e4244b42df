import { describe, expect, test } from "@jest/globals";
import path from "node:path";

import { openbPodsCsv } from "../../../../../src/sim/workload/formats/openb-pods-csv.js";
import { phillyCsv } from "../../../../../src/sim/workload/formats/philly-csv.js";
import { readTrace, type TraceFormat, type TraceRow } from "../../../../../src/sim/workload/formats/trace-format.js";
import { vllmBenchJsonl } from "../../../../../src/sim/workload/formats/vllm-bench-jsonl.js";
import { loadTrace } from "../../../../../src/sim/workload/trace.js";
import { TRACES, testWithTraces } from "../real-traces.js";
import { folderWith } from "../temporary-file.js";

async function rowsOf(file: string, format: TraceFormat): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  for await (const row of readTrace(path.join(TRACES, file), format)) rows.push(row);
  return rows;
}

test.each([
  ["2017-10-01 00:01:55,61.5,4,246.0,11cb48", { atMs: Date.UTC(2017, 9, 1, 0, 1, 55), sender: "11cb48", gpus: 4, workMs: 61_500, inputTokens: 0, outputTokens: 0 }],
  ["2017-10-01 00:01:55,61.5,0,0,11cb48", null],
  ["2017-13-01 00:01:55,61.5,1,61.5,11cb48", null],
  ["2017-10-01 00:01:55,-1,1,61.5,11cb48", null],
  ["2017-10-01 00:01:55,61.5,1", null],
])("Philly row %j", (line, expected) => {
  expect(phillyCsv.parse(line)).toEqual(expected);
});

const POD = { inputTokens: 0, outputTokens: 0, sender: "LS", gpus: 1, gpuMilli: 460 };

test.each([
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290,430", { ...POD, atMs: 427_000, workMs: 860_000 }],
  ["openb-pod-1,6000,12288,1,460,V100M16|V100M32,LS,Pending,427,1290,", { ...POD, atMs: 427_000, workMs: 0 }],
  ["openb-pod-1,6000,12288,x,460,,LS,Running,427,1290,430", null],
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290,soon", null],
  ["openb-pod-1,6000,12288,1,460,,LS,Running,427,1290", null],
])("openb pod %j", (line, expected) => {
  expect(openbPodsCsv.parse(line)).toEqual(expected);
});

test.each([
  ['{"request_id": "bench-0", "input_toks": 2358, "output_toks": 531, "arrival_time": 1787267980.5, "queued_ts": 1.5}', { atMs: 1_787_267_980_500, inputTokens: 2358, outputTokens: 531 }],
  ['{"input_toks": 2358, "output_toks": 531}', null],
  ['{"input_toks": -1, "output_toks": 531, "arrival_time": 1}', null],
  ["2358", null],
])("vLLM bench row %j", (line, expected) => {
  expect(vllmBenchJsonl.parse(line)).toEqual(expected);
});

test("a file of another format is refused by its heading, with the one that was wanted", async () => {
  const folder = await folderWith({ "pods.csv": "a,b,c\n1,2,3\n" });
  const file = path.join(folder, "pods.csv");
  await expect(readTrace(file, phillyCsv).next()).rejects.toThrow(`${file}:1: the first line of a Philly CSV trace is timestamp,duration,num_gpus,gpu_time,cluster, not: a,b,c`);
});

test("pods in any order are sorted when they are loaded; a trace that promises order is not", async () => {
  const heading = openbPodsCsv.heading ?? "";
  const folder = await folderWith({
    "pods.csv": `${heading}\np2,1,1,1,1000,,LS,Running,20,40,20\np1,1,1,1,1000,,BE,Running,10,40,10\n`,
    "jobs.csv": `${phillyCsv.heading ?? ""}\n2017-10-02 00:00:00,1,1,1,a\n2017-10-01 00:00:00,1,1,1,a\n`,
  });
  expect((await loadTrace(path.join(folder, "pods.csv"), openbPodsCsv)).rows.map(({ sender }) => sender)).toEqual(["BE", "LS"]);
  await expect(loadTrace(path.join(folder, "jobs.csv"), phillyCsv)).rejects.toThrow(/jobs\.csv:3: time goes back/);
});

test("a trace can be cut while it is read; one of which nothing is left is an error", async () => {
  const folder = await folderWith({ "jobs.csv": [phillyCsv.heading, ...[0, 1, 2, 3].map((minute) => `2017-10-01 00:0${minute}:00,1,1,1,a`)].join("\n") });
  const file = path.join(folder, "jobs.csv");
  expect((await loadTrace(file, phillyCsv, { fromMs: 60_000, toMs: 180_000 })).rows).toHaveLength(2);
  await expect(loadTrace(file, phillyCsv, { keep: ({ gpus }) => gpus === 2 })).rejects.toThrow("jobs.csv has no requests");
});

describe("the real traces", () => {
  // Counted on the file with another tool.
  testWithTraces("Philly's October has its jobs, durations and GPU time", async () => {
    const rows = await rowsOf("philly/philly-2017-10.csv.gz", phillyCsv);
    const seconds = Float64Array.from(rows, ({ workMs = 0 }) => workMs / 1000).sort();
    const at = (ratio: number): number | undefined => seconds[Math.floor(ratio * (seconds.length - 1))];
    const gpuTime = (some: readonly TraceRow[]): number => some.reduce((sum, { gpus = 0, workMs = 0 }) => sum + gpus * workMs, 0);
    const ofOneGpu = rows.filter(({ gpus }) => gpus === 1);
    expect([rows.length, at(0.5), at(0.9), at(0.99)]).toEqual([47_192, 1684, 10_709, 211_441]);
    expect(ofOneGpu.length / rows.length).toBeCloseTo(0.953, 3);
    expect(gpuTime(ofOneGpu) / gpuTime(rows)).toBeCloseTo(0.2, 2);
    expect(new Set(rows.map(({ sender }) => sender)).size).toBe(11);
  });

  testWithTraces("openb has the published pods, by service class and by what they ask of a GPU", async () => {
    const rows = await rowsOf("alibaba-openb-gpu-v2023/openb_pod_list_default.csv", openbPodsCsv);
    const count = (which: (row: TraceRow) => boolean): number => rows.filter(which).length;
    expect([rows.length, count(({ sender }) => sender === "LS"), count(({ sender }) => sender === "BE")]).toEqual([8152, 4647, 3398]);
    expect([count(({ gpus }) => gpus === 1), count(({ gpus, gpuMilli = 0 }) => gpus === 1 && gpuMilli < 1000)]).toEqual([6989, 3078]);
  });

  testWithTraces("each of the four vLLM runs has 300 requests over half a minute", async () => {
    const runs = ["RTX4090/Llama-3.1-8B", "RTXPRO6000/Llama-3.1-8B", "RTXPRO6000/Qwen3-30B-A3B-Instruct-2507", "RTXPRO6000/Qwen3-32B"];
    for (const run of runs) {
      const rows = await rowsOf(`llmservingsim-vllm/bench/${run}/requests.jsonl`, vllmBenchJsonl);
      expect(rows).toHaveLength(300);
      expect(((rows.at(-1)?.atMs ?? 0) - (rows[0]?.atMs ?? 0)) / 1000).toBeCloseTo(29.1, 1);
    }
  });
});
