import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Recording } from "../../../../src/recording/reader.js";
import { verify } from "../../../../src/recording/replay.js";
import { mergedHistogram, quantileMs } from "../../../../src/sim/log-histogram.js";
import { measure, type Measures } from "../../../../src/sim/measure.js";
import { RecordedWorld, type Translation } from "../../../../src/sim/recorded/what-if.js";
import type { SimulatedRun } from "../../../../src/sim/result.js";
import type { GpuKind } from "../../../../src/simulated-gpu/gpu-kinds.js";
import { recordedFile } from "../../recording/recorded-file.js";
import { recordedProduction, type Production } from "./simulated-production.js";

const NOTHING: Translation = { kinds: new Map(), models: new Map() };

let folder: string;
let production: Production;
let world: RecordedWorld;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gpu-router-whatif-"));
  production = await recordedProduction(folder);
});
afterAll(() => rm(folder, { recursive: true }));

async function openWorld(): Promise<RecordedWorld> {
  return (world ??= await RecordedWorld.open(await Recording.open(production.file), NOTHING));
}

const medianMs = ({ users }: Measures): number => quantileMs(mergedHistogram(users.map(({ response }) => response)), 0.5) ?? Number.NaN;
const column = (values: Float64Array, count: number): number[] => Array.from(values.subarray(0, count), (value) => Math.round(value));

describe("what was measured", () => {
  test("is what happened: the same requests, times, GPUs and ends", async () => {
    const { run } = production;
    const measured = (await openWorld()).measured();
    const count = run.requests.count;
    expect(measured.requests.count).toBe(count);
    const from = run.requests.arrivedAtMs[0]!;
    const since = (values: Float64Array): number[] => column(values.map((value) => value - from), count);
    expect(column(measured.requests.arrivedAtMs, count)).toEqual(since(run.requests.arrivedAtMs));
    expect(column(measured.requests.placedAtMs, count)).toEqual(since(run.requests.placedAtMs));
    expect(column(measured.requests.endedAtMs, count)).toEqual(since(run.requests.endedAtMs));
    expect([...measured.requests.outcome]).toEqual([...run.requests.outcome.subarray(0, count)]);
    expect([...measured.requests.gpu]).toEqual([...run.requests.gpu.subarray(0, count)]);
    expect([...measured.requests.outputTokens]).toEqual([...run.requests.outputTokens.subarray(0, count)]);
    expect(measured.requests.inSlo.reduce((sum, each) => sum + each, 0)).toBe(run.requests.inSlo.subarray(0, count).reduce((sum, each) => sum + each, 0));
  });

  test("counts the time in which each GPU had work", async () => {
    const { run } = production;
    const measured = (await openWorld()).measured();
    measured.busyMs.forEach((busyMs, gpu) => expect(busyMs / run.busyMs[gpu]!).toBeCloseTo(1, 1));
  });
});

describe("simulated as recorded", () => {
  test("it is what was measured, when the production was a simulation itself", async () => {
    const { measured, simulated } = await runs({});
    expect(simulated.requests.count).toBe(measured.requests.count);
    expect(medianMs(measure(simulated, 1e5)) / medianMs(measure(measured, 1e5))).toBeCloseTo(1, 1);
    // Work that is given as time shared its GPU when it was measured: taken for what it takes alone it would be twice as long.
    const jobsMs = (run: SimulatedRun): number => medianMs({ ...measure(run, 1e5), users: measure(run, 1e5).users.filter(({ name }) => name === "jobs") });
    expect(jobsMs(simulated) / jobsMs(measured)).toBeCloseTo(1, 1);
  });

  test("gives the same each time", async () => {
    const once = (await openWorld()).simulated("a", {});
    const again = (await openWorld()).simulated("a", {});
    expect([...once.requests.endedAtMs]).toEqual([...again.requests.endedAtMs]);
  });
});

describe("simulated with something else", () => {
  test("a fleet of a quarter of the GPUs is slower, one of four times as many is not", async () => {
    const { simulated: few, measured } = await runs({ fleet: [{ kind: "A100-80GB", gpus: 1, nodes: 1 }] });
    const { simulated: many } = await runs({ fleet: [{ kind: "H100-80GB", gpus: 8, nodes: 2 }] });
    const [fewMs, realMs, manyMs] = [few, measured, many].map((run) => medianMs(measure(run, 1e5)));
    expect(fewMs! / realMs!).toBeGreaterThan(1.5);
    expect(manyMs! / realMs!).toBeLessThan(0.8);
  });

  test("settings and strategy are those that were given", async () => {
    const narrow = (await runs({ settings: { maxConcurrentTasksPerGpu: 1 } })).simulated;
    const wide = (await runs({ strategy: "round_robin" })).simulated;
    expect(medianMs(measure(narrow, 1e5))).toBeGreaterThan(1.5 * medianMs(measure(wide, 1e5)));
    await expect(runs({ strategy: "no_such" })).rejects.toThrow("no_such");
  });

  test("a type that is mapped to recorded GPUs runs there and nowhere else", async () => {
    const { simulated } = await runs({ strategy: "task_specific", taskMappings: { batch: ["sim-node-1-gpu-1"] } });
    const { tenant, gpu, count } = simulated.requests;
    const used = new Set([...gpu.subarray(0, count)].filter((_, row) => simulated.tenants[tenant[row]!]!.type === "batch"));
    expect(used).toEqual(new Set([1]));
  });

  test("a fleet without room for a model is refused", async () => {
    const large = await RecordedWorld.open(await Recording.open(production.file), { ...NOTHING, models: new Map([["mistral-7b", "llama2-70b"]]) });
    const none = 'no simulated GPU has room for the model llama2-70b, or none served it: say what to take it for with --model "llama2-70b=NAME"';
    expect(() => large.simulated("as recorded", {})).toThrow(none);
    await expect(runs({ fleet: [{ kind: "T4", gpus: 1, nodes: 1 }] })).rejects.toThrow("no simulated GPU has room for the model");
  });
});

test("the production's recording holds to the bit, fractions of milliseconds too", async () => {
  expect(await verify(await Recording.open(production.file))).toMatchObject({ first: null, ending: { kind: "stopped" } });
});

test("GPUs of no known kind are named with the flag that tells them", async () => {
  const { file } = await recordedFile(4, 300);
  const opened = Recording.open(file);
  await expect(RecordedWorld.open(await opened, NOTHING)).rejects.toThrow('are of no kind that can be simulated: say what to take them for, such as --kind "NVIDIA L4=A100-80GB"');
  const told = await RecordedWorld.open(await opened, { ...NOTHING, kinds: new Map<string, GpuKind>([["NVIDIA L4", "A100-40GB"]]) });
  expect(told.gpus).toBe(6);
  expect(told.notes.join("\n")).toMatch(/Some runners serve any model/);
  expect(told.notes.join("\n")).toMatch(/Not simulated, with how many requests brought it: strategy \(\d+\), memory and hardware \(\d+\)/);
  expect(told.simulated("hybrid", { strategy: "hybrid" }).requests.count).toBe(told.requests);
});

test("a recording without requests says so", async () => {
  const { file } = await recordedFile(4, 0);
  await expect(RecordedWorld.open(await Recording.open(file), NOTHING)).rejects.toThrow("no request was accepted while it ran");
});

async function runs(change: Parameters<RecordedWorld["simulated"]>[1]): Promise<{ readonly measured: SimulatedRun; readonly simulated: SimulatedRun }> {
  const opened = await openWorld();
  return { measured: opened.measured(), simulated: opened.simulated("changed", change) };
}
