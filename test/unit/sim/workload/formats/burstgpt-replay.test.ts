import { expect, test } from "@jest/globals";
import path from "node:path";

import { readBurstgptReplay } from "../../../../../src/sim/workload/formats/burstgpt-replay.js";
import { TRACES, testWithTraces } from "../real-traces.js";
import { folderWith } from "../temporary-file.js";

const entry = (record_time: number, first_chunk_time: number, total_chunk_time: number, in_len = 10): object => ({ in_len, out_len: 999, sampled_out_len: 1024, record_time, first_chunk_time, total_chunk_time });
const state = (timestamp: number, generation_throughput: number, num_running: number): object => ({ timestamp, generation_throughput, num_running });

async function detailFile(details: unknown, states: unknown): Promise<string> {
  const folder = await folderWith({ "detail_log_x.json": JSON.stringify(details), "vllm_log_x.json": JSON.stringify(states) });
  return path.join(folder, "detail_log_x.json");
}

test("a request was sent before its record by the time it took, and its tokens are its share of what the engine made", async () => {
  // 10 tokens/s for one in the first second, 40 tokens/s for two in the next.
  const file = await detailFile({ 7: entry(102, 0.5, 2), 3: entry(100.5, 0.1, 1.5, 4) }, { 0: state(100, 5, 1), 1: state(101, 10, 1), 2: state(102, 40, 2) });
  expect(await readBurstgptReplay(file)).toEqual([
    // From 99.1 on, of which the log tells the part after 100.
    { atMs: 99_000, inputTokens: 4, outputTokens: 5 },
    { atMs: 100_000, inputTokens: 10, outputTokens: 25 },
  ]);
});

test("what is missing or wrong is named by file and entry", async () => {
  await expect(readBurstgptReplay(await detailFile({ 4: { in_len: 3 } }, {}))).rejects.toThrow(/detail_log_x\.json: entry "4" is not a request of a BurstGPT replay/);
  await expect(readBurstgptReplay(await detailFile({ 4: entry(1, 1, 1) }, { 9: {} }))).rejects.toThrow(/vllm_log_x\.json: entry "9" is not a state/);
  const alone = path.join(await folderWith({ "detail_log_y.json": "{}", "other.json": "{}", "detail_log_z.json": "{" }), "detail_log_y.json");
  await expect(readBurstgptReplay(alone)).rejects.toThrow(/cannot read the trace .*vllm_log_y\.json: .*ENOENT/);
  await expect(readBurstgptReplay(alone.replace("detail_log_y", "other"))).rejects.toThrow(/other\.json is not named detail_log_/);
  await expect(readBurstgptReplay(alone.replace("_y", "_z"))).rejects.toThrow(/detail_log_z\.json: not JSON/);
});

testWithTraces("the three replays send the same prompts at rates that differ by their scale, and most answers reach their limit", async () => {
  const runs = await Promise.all([100, 500, 2000].map((scale) => readBurstgptReplay(path.join(TRACES, `burstgpt-replay-telemetry/detail_log_scale${scale}.json.gz`))));
  const spans = runs.map((rows) => (rows.at(-1)?.atMs ?? 0) - (rows[0]?.atMs ?? 0));
  expect(runs.map(({ length }) => length)).toEqual([500, 500, 500]);
  expect((spans[0] ?? 0) / (spans[1] ?? 1)).toBeCloseTo(5, 1);
  expect((spans[1] ?? 0) / (spans[2] ?? 1)).toBeCloseTo(4, 1);
  for (const rows of runs) {
    expect(rows.map(({ inputTokens }) => inputTokens)).toEqual(runs[0]?.map(({ inputTokens }) => inputTokens));
    const sorted = rows.map(({ outputTokens }) => outputTokens).sort((one, other) => one - other);
    // Asked for 1,024 at most.
    expect(sorted[250]).toBeGreaterThan(1000);
    expect(sorted[499]).toBe(1024);
  }
});
