import { expect, test } from "@jest/globals";
import { notesOf } from "../../../../src/sim/recorded/notes.js";
import type { RecordedTraffic } from "../../../../src/sim/recorded/traffic.js";
import { recordedWorkload } from "../../../../src/sim/recorded/workload.js";
import { spec, wishes } from "../../core/build.js";

type Over = Parameters<typeof spec>[1];

/** The notes on these requests, each with a fate that gives rise to none. */
function notes(...overs: readonly Over[]): string[] {
  const times = { arrivedAtMs: 0, placedAtMs: 0, startedAtMs: 0, firstOutputAtMs: 1, endedAtMs: 2 };
  const fate = { ...times, outcome: "completed", attempts: 1, gpuId: "gpu", share: 1, statistics: { runMs: 2, firstOutputMs: 1, inputTokens: 5, outputTokens: 5, peakMemoryMib: 0 } } as const;
  const requests = overs.map((over, index) => ({ ...fate, spec: spec(`r-${index}`, { model: "mistral-7b", ...over }) }));
  const traffic: RecordedTraffic = { requests, gpus: [], runners: new Map(), busyMs: [], fromMs: 0, untilMs: 2, refused: 0, disconnects: 0, events: 0 };
  return notesOf(traffic, recordedWorkload(traffic, () => undefined, (name) => name), { loaded: [], types: [], guessed: false, crowded: false });
}

const wishing = (over: Parameters<typeof wishes>[0]): Over => ({ wishes: wishes(over) });

test("requests that bring nothing special give no note", () => {
  expect(notes({}, wishing({ firstOutputMs: 100 }), { handling: { onInterruption: "restart", timeouts: {} } })).toEqual([]);
});

test("what the simulation leaves out is counted, each by itself", () => {
  const asked = notes({ gpu: "gpu-1" }, { gpu: "gpu-2" }, { strategy: "random" }, { timeoutMs: 5 }, wishing({ whenLate: "fail" }), { idempotent: false }, { handling: { onInterruption: "fail", timeouts: { waitingMs: 0 } } });
  expect(asked).toEqual([
    "Not simulated, with how many requests brought it: specific_gpu_id (2), strategy (1), timeout_ms (1), timeouts by stage (1), when_late: fail (1), on_interruption: fail (1), idempotent: false (1).",
  ]);
});

test("batches are counted as batches too", () => {
  const of = (id: string): Over => ({ batch: { id, size: 2, split: null, minPerGpu: 0 } });
  expect(notes(of("a"), of("a"), of("b"), {})).toEqual(["3 requests came in 2 batches: each is placed by itself."]);
});

test("who could be stopped is told, and who is in the simulation", () => {
  expect(notes(wishing({ preemptible: true }), wishing({ preemptible: true, checkpoint: true }))).toEqual([expect.stringMatching(/^2 requests were preemptible, 1 had checkpoints: simulated work may be stopped when it has no SLO/)]);
});
