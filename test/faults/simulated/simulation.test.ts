// The simulation of faults as `npm run sim` runs it: a small batch, the same story for the same seed, and what its options say.
import { expect, test } from "@jest/globals";
import { readFileSync } from "node:fs";
import path from "node:path";
import { ACTS } from "./acts.js";
import { FAULTS } from "./faults.js";
import { LIMIT_MS, report, sim } from "./sim-command.js";

const ROOT = path.resolve(import.meta.dirname, "../../..");

test("a batch of seeds keeps every promise, and meets what it is there for", () => {
  const { failures, happened } = report("--seeds", "1..60");
  expect(failures).toEqual([]);
  const met = [
    "recovery from records",
    "recovery from a snapshot",
    "journal failure",
    "late result",
    "fenced",
    "submit: queue_full",
    "submit: storage_full",
    "submit: id_conflict",
    "submit: draining",
    ...["requests_per_minute", "requests_per_day", "queued_requests", "queued_bytes", "gpus", "gpu_time"].map((name) => `refused: ${name}`),
    "ended: cancelled_by_operator",
    "GPU restarted",
    "model ordered: load",
    "callback repeated",
    "attempt failed: attempt_lost",
    "attempt failed: node_lost",
    "attempt failed: gpu_error",
    "attempt failed: gpu_lost",
    "attempt failed: preempted",
    "ended: completed",
    "ended: cancelled",
    "ended: timeout",
    "ended: retries_exhausted",
  ];
  expect(met.filter((what) => !happened[what])).toEqual([]);
}, LIMIT_MS);

test("the same seed tells the same story", () => {
  const story = (): string => sim("--seed", "3", "--faults", "all", "--json").stdout.replace(/"wall_seconds": [\d.]+/, "");
  const first = story();
  expect(first).toContain("engine_steps");
  expect(story()).toBe(first);
}, LIMIT_MS);

test("a fault alone can be asked for, and one that is not there is named", () => {
  const { status, stderr } = sim("--seeds", "1..2", "--faults", "gremlins");
  expect(status).toBe(2);
  for (const name of ["gremlins", ...[...FAULTS, ...ACTS].map((fault) => fault.name)]) expect(stderr).toContain(name);
  expect(sim("--seeds", "9..2")).toMatchObject({ status: 2, stderr: expect.stringContaining("--seeds 9..2") });
  expect(sim("--seed", "x")).toMatchObject({ status: 2, stderr: expect.stringContaining("--seed x") });
});

const bugs = JSON.parse(readFileSync(path.join(import.meta.dirname, "planted-bugs.json"), "utf8")) as readonly { readonly name: string; readonly about: string; readonly file: string; readonly find: string; readonly foundBy: readonly string[] }[];

// That each is found, planted-bugs.slow.ts shows.
test("at least ten bugs are planted, and the code that each one changes is there exactly once", () => {
  expect(new Set(bugs.map(({ name }) => name)).size).toBeGreaterThanOrEqual(10);
  const places = bugs.map(({ name, file, find }) => `${name}: ${readFileSync(path.join(ROOT, file), "utf8").split(find).length - 1} in ${file}`);
  expect(places.filter((place) => !place.includes(": 1 in "))).toEqual([]);
});
