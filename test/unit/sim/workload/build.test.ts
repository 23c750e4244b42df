// Workloads of traces that a test makes up: who gets which requests, and what is refused instead of being simulated as nothing.
import { describe, expect, test } from "@jest/globals";
import path from "node:path";

import type { Arrival, Workload } from "../../../../src/sim/workload/arrival.js";
import { buildWorkload, sourcesOf } from "../../../../src/sim/workload/build.js";
import type { Scenario, ScenarioPart, ScenarioUser } from "../../../../src/sim/workload/scenario.js";
import { folderWith } from "./temporary-file.js";

const HEADING = "timestamp,duration,num_gpus,gpu_time,cluster";
const MINUTE_MS = 60_000;

/** A job each minute, of the senders in turn. */
const jobs = (count: number, senders = ["red", "blue"]): string =>
  [HEADING, ...Array.from({ length: count }, (_, minute) => `2017-10-01 0${Math.floor(minute / 60)}:${String(minute % 60).padStart(2, "0")}:00,30,1,30,${senders[minute % senders.length]}`)].join("\n");

const user = (name: string, senders?: readonly string[]): ScenarioUser => ({ name, priority: 1, slo: null, weight: 1, models: { training: 1 }, ...(senders && { senders }) });

/** Philly's jobs of a folder; the source is looked for where the public trace has it. */
function scenarioOf(changes: Partial<ScenarioPart>, minutes = 60): Scenario {
  const part: ScenarioPart = { name: "jobs", source: "philly", type: "training", users: [user("all")], amount: { kind: "share", share: 1 }, pace: 1, maxWorkMs: Number.POSITIVE_INFINITY, maxGpus: 8, scales: true, ...changes };
  return { name: "test", title: "Test", notes: [], fleet: { groups: [{ kind: "T4", gpus: 1, nodes: 1 }] }, models: ["training"], parts: [part], floods: [], modelLoadSpeed: 1, durationMs: minutes * MINUTE_MS };
}

async function phillyFolder(content: string): Promise<string> {
  const folder = await folderWith({});
  const { mkdir, writeFile } = await import("node:fs/promises");
  await mkdir(path.join(folder, "philly"));
  await writeFile(path.join(folder, "philly/philly-2017-10.csv.gz"), content);
  return folder;
}

async function arrivals(scenario: Scenario, content: string): Promise<Arrival[]> {
  const workload = await buildWorkload(scenario, await phillyFolder(content), { load: 1, scaling: "superpose" });
  return [...workload.arrivals(1)];
}

describe("users", () => {
  test("with senders get the requests of these", async () => {
    const all = await arrivals(scenarioOf({ users: [user("r", ["red"]), user("b", ["blue"])] }), jobs(60));
    expect(all.filter(({ tenant }) => tenant === 0)).toHaveLength(30);
    expect(all).toHaveLength(60);
  });

  test("with a sender that is misspelt are refused, with the senders that there are", async () => {
    await expect(arrivals(scenarioOf({ users: [user("r", ["rot"])] }), jobs(60))).rejects.toThrow('the user "r" of the part "jobs" has the sender "rot", which philly does not: take some of blue, red');
  });

  test("who get nothing are refused", async () => {
    await expect(arrivals(scenarioOf({ maxWorkMs: 1000 }), jobs(60))).rejects.toThrow('the part "jobs" has no request of philly left: max_gpus is 8 and max_work_seconds 1');
    const wide = `${jobs(60, ["red"])}\n2017-10-01 01:00:00,30,16,480,blue`;
    await expect(arrivals(scenarioOf({ users: [user("r", ["red"]), user("b", ["blue"])] }), wide)).rejects.toThrow('the user "b" of the part "jobs" has no request');
  });
});

describe("models", () => {
  const CHAT = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", ...Array.from({ length: 90 }, (_, second) => `${second * 7},${["ChatGPT", "GPT-4", "GPT-4"][second % 3]},100,10,110,${second % 2 ? "API log" : "Conversation log"}`)].join("\n");
  const chat = async (changes: Partial<ScenarioPart>): Promise<{ workload: Workload; all: Arrival[] }> => {
    const file = path.join(await folderWith({ "chat.csv": CHAT }), "chat.csv");
    const workload = await buildWorkload(scenarioOf({ source: `file:${file}`, type: "inference", users: [user("a", ["API log"]), user("b", ["Conversation log"])], ...changes }, 10.5), null, { load: 1, scaling: "superpose" });
    return { workload, all: [...workload.arrivals(1)] };
  };

  test("are those that the trace names, as the map says", async () => {
    const { workload, all } = await chat({ modelMap: { "GPT-4": "llama-3.1-70b", "*": "llama-3.1-8b" } });
    const count = (name: string, model: string): number => all.filter(({ tenant }) => workload.tenants[tenant]?.name === name && workload.tenants[tenant]?.modelId === model).length;
    expect([count("a", "llama-3.1-8b"), count("a", "llama-3.1-70b"), count("b", "llama-3.1-8b"), count("b", "llama-3.1-70b")]).toEqual([15, 30, 15, 30]);
  });

  test("that the map lacks are named, as is a trace that names none", async () => {
    await expect(chat({ modelMap: { "GPT-4": "llama-3.1-70b" } })).rejects.toThrow('ask for the models "ChatGPT", "GPT-4"; the model_map of the part "jobs" has none for "ChatGPT": add it, or "*" for all others');
    await expect(arrivals(scenarioOf({ modelMap: { "*": "llama-3.1-8b" } }), jobs(60))).rejects.toThrow("philly names no models: leave it out");
  });

  test("are the users' without a map", async () => {
    const { workload } = await chat({});
    expect(workload.tenants.map(({ modelId }) => modelId)).toEqual(["training", "training"]);
  });
});

test("a window of any source is taken, drawn ones too", async () => {
  const window = { fromMs: 10 * MINUTE_MS, toMs: 40 * MINUTE_MS };
  const [read] = await sourcesOf(scenarioOf({ reading: window }, 30), await phillyFolder(jobs(60)), 30 * MINUTE_MS);
  expect(read).toMatchObject({ requests: 30, spanMs: 30 * MINUTE_MS, laps: 1 });
  const [drawn] = await sourcesOf(scenarioOf({ source: "synthetic-conv", reading: window, type: "inference" }), null, MINUTE_MS);
  expect(drawn).toMatchObject({ spanMs: 30 * MINUTE_MS });
  await expect(sourcesOf(scenarioOf({ source: "synthetic-conv", reading: { fromMs: 100 * MINUTE_MS } }), null, MINUTE_MS)).rejects.toThrow("behind the end of the source, which has 60 minutes");
});

describe("a trace that is shorter than the run", () => {
  test("repeats, and says how often", async () => {
    const scenario = scenarioOf({}, 150);
    expect(await arrivals(scenario, jobs(60))).toHaveLength(150);
    const [source] = await sourcesOf(scenario, await phillyFolder(jobs(60)), scenario.durationMs);
    expect(source).toEqual({ part: "jobs", source: "philly", format: "Philly CSV", requests: 60, leftOut: 0, spanMs: 60 * MINUTE_MS, laps: 2.5 });
  });

  test("of one time, or of a moment, is refused", async () => {
    await expect(arrivals(scenarioOf({}), jobs(1))).rejects.toThrow(/philly-2017-10.csv.gz has one request: nobody can say how often they come/);
    await expect(arrivals(scenarioOf({}), `${jobs(1)}\n${jobs(1).split("\n")[1]}`)).rejects.toThrow("has 2 requests, all at one time");
    await expect(arrivals(scenarioOf({}), `${jobs(1)}\n2017-10-01 00:00:01,30,1,30,red`)).rejects.toThrow('philly lasts 2000 ms, and the part "jobs" would repeat it 1800 times');
  });

  test("drawn requests never repeat", async () => {
    const scenario = scenarioOf({ source: "synthetic-conv", type: "inference", users: [{ ...user("a"), models: { "mistral-7b": 1 } }] }, 150);
    expect(await sourcesOf(scenario, null, scenario.durationMs)).toMatchObject([{ format: "drawn", requests: null, laps: null }]);
  });
});
