import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Discretion } from "../../../src/recording/discretion.js";
import { RecordingEncoder } from "../../../src/recording/encoder.js";
import { Recording } from "../../../src/recording/reader.js";
import { recordedProduction, type Production } from "../sim/recorded/simulated-production.js";
import { run } from "./test-terminal.js";

let folder: string;
let production: Production;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gpu-router-whatif-"));
  production = await recordedProduction(folder, 150);
});
afterAll(() => rm(folder, { recursive: true }));

/** The same recording under other settings: its decisions cannot be made again. */
async function forged(): Promise<string> {
  const { header } = await Recording.open(production.file);
  const bytes = await readFile(production.file);
  const line = bytes.indexOf("\n") + 1;
  const rest = bytes.subarray(line + 4 + bytes.readUInt32LE(line));
  const file = path.join(folder, "forged.rec");
  const settings = { ...header.settings, strategy: "round_robin" };
  await writeFile(file, Buffer.concat([new RecordingEncoder(new Discretion(false)).header({ ...header, settings }), rest]));
  return file;
}

describe("whatif --verify", () => {
  test("says that all decisions are the same", async () => {
    const { code, out } = await run(["whatif", production.file, "--verify"]);
    expect(out).toContain("All 150 decisions are the same to the last bit.");
    expect(out).toContain("The recording ends with a clean stop of the router.");
    expect(out).toContain("Recorded by gpu-router test on Node");
    expect(code).toBe(0);
  });

  test("shows the first that is not, in full, and fails", async () => {
    const { code, out } = await run(["whatif", await forged(), "--verify"]);
    expect(out).toContain("0 of 150 decisions are the same; then one is not.");
    expect(out).toMatch(/Event \d+ at .* \(submit\): facts\[1\]\.decision\.strategy\n {2}recorded {2}"least_loaded"\n {2}now {7}"round_robin"/);
    expect(out).toMatch(/As recorded:\n.*"requestId":"r-0".*\n.*"strategy":"least_loaded".*\nAs made now:\n/);
    expect(code).toBe(1);
  });

  test("as JSON", async () => {
    const { code, out } = await run(["whatif", await forged(), "--verify", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ decisions: 150, equalDecisions: 0, difference: { path: "facts[1].decision.strategy", recorded: "least_loaded", remade: "round_robin" } });
    expect(code).toBe(1);
  });
});

describe("whatif", () => {
  test("shows what was measured, what that is when simulated, and what else would have been", async () => {
    const { code, out } = await run(["whatif", production.file, "--strategy", "round_robin,hybrid", "--set", "max_concurrent_tasks_per_gpu=2", "--fleet", "2xA100-80GB"]);
    expect(code).toBe(0);
    expect(out).toContain("150 requests");
    const rows = out.split("\n").filter((line) => /^(measured|least_loaded, as|round_robin|hybrid)/.test(line));
    expect(rows.map((row) => row.split(/ {2,}/)[0])).toEqual([
      "measured",
      "least_loaded, as recorded",
      "round_robin, max_concurrent_tasks_per_gpu=2, 2xA100-80GB",
      "hybrid, max_concurrent_tasks_per_gpu=2, 2xA100-80GB",
    ]);
    expect(out).toMatch(/Simulated as recorded, the median request takes (less|more) time than measured/);
  });

  test("tries other weights and task mappings, on the recorded GPUs by their own ids", async () => {
    const mapping = "task_specific_mappings.batch=sim-node-1-gpu-1,gpu_2";
    const { code, out, err } = await run(["whatif", production.file, "--strategy", "weighted,task_specific", "--set", "weights.usage=0", "--set", mapping]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain(`weighted, weights.usage=0, ${mapping}`);
    expect(out).toMatch(/^task_specific, .* {2}100%/m);
    const gone = await run(["whatif", production.file, "--strategy", "task_specific", "--set", mapping, "--fleet", "1xA100-80GB"]);
    expect(gone.err).toContain("task_specific_mappings.batch: there is no GPU sim-node-1-gpu-1, but gpu_0 to gpu_0");
    expect(gone.code).toBe(1);
  });

  test("as JSON", async () => {
    const { out } = await run(["whatif", production.file, "--json"]);
    const { rows } = JSON.parse(out) as { readonly rows: readonly { readonly run: string; readonly done: number; readonly inSlo: number; readonly totalP50Ms: number }[] };
    expect(rows.map((row) => row.run)).toEqual(["measured", "least_loaded, as recorded"]);
    expect(rows[0]).toMatchObject({ done: 1 });
    // Ties fall otherwise: the simulated requests have other ids.
    expect(Math.abs(Math.log(rows[1]!.totalP50Ms / rows[0]!.totalP50Ms))).toBeLessThan(0.2);
  });

  test.each([
    [["--verify", "--strategy", "hybrid"], "whatif either verifies what was decided or tries something else"],
    [["--verify", "--model", "mine=mistral-7b"], "--verify simulates nothing: leave it out, or --kind and --model"],
    [["--strategy", "best"], 'there is no strategy "best": take some of hybrid, weighted'],
    [["--kind", "NVIDIA X=Y"], "Give NAME=KIND with one of"],
    [["--model", "mine=unknown"], "Give NAME=MODEL with one of"],
    [["--fleet", "openb:128"], "whatif simulates GPUs that are named"],
  ])("%j is bad usage", async (options, message) => {
    const { code, err } = await run(["whatif", production.file, ...options]);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });

  test("a file that is no recording is told apart", async () => {
    const file = path.join(folder, "other.csv");
    await writeFile(file, "a,b\n");
    const { code, err } = await run(["whatif", file]);
    expect(err).toContain(`${file} cannot be read: it is not a recording of gpu-router`);
    expect(code).toBe(1);
  });
});

describe("explain --recording", () => {
  test("shows the decision as it was, and that it is the same now", async () => {
    const { code, out } = await run(["explain", "--recording", production.file, "r-3"]);
    expect(out).toMatch(/^Attempt 1, /);
    expect(out).toContain("least_loaded chose sim-node-");
    expect(out).toContain("The same when made again from the recording.");
    expect(code).toBe(0);
  });

  test("shows what is not the same now, and fails", async () => {
    const { code, out } = await run(["explain", "--recording", await forged(), "r-0"]);
    expect(out).toContain('Not the same when made again: {"path":"decision.decision.strategy","recorded":"least_loaded","remade":"round_robin"}');
    expect(code).toBe(1);
  });

  test("a request that was never placed is told so", async () => {
    const { code, err } = await run(["explain", "--recording", production.file, "nobody"]);
    expect(err).toContain("holds no decision on nobody: it was not placed while the recording ran");
    expect(code).toBe(1);
  });
});
