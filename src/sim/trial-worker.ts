// A worker thread of trial-pool.ts: takes a trial, answers with its result.
import { parentPort } from "node:worker_threads";

import { assert } from "../lib/assert.js";
import type { Trial, TrialResult } from "./trial.js";
import { TrialRunner } from "./trial.js";

export type WorkerAnswer =
  | { readonly kind: "progress"; readonly share: number }
  | { readonly kind: "result"; readonly result: TrialResult }
  | { readonly kind: "error"; readonly message: string; readonly foreseen: boolean };

const PROGRESS_EVERY_MS = 100;

const port = parentPort;
assert(port !== null, "this file is run as a worker");
const runner = new TrialRunner();
let toldAtMs = 0;

const tell = (answer: WorkerAnswer): void => port.postMessage(answer);
const progress = (share: number): void => {
  const nowMs = performance.now();
  if (nowMs - toldAtMs < PROGRESS_EVERY_MS) return;
  toldAtMs = nowMs;
  tell({ kind: "progress", share });
};

port.on("message", (trial: Trial) => {
  runner.run(trial, progress).then(
    (result) => tell({ kind: "result", result }),
    (error: unknown) => {
      const foreseen = error instanceof Error && error.name === "TraceError";
      tell({ kind: "error", message: error instanceof Error ? (foreseen ? error.message : (error.stack ?? error.message)) : String(error), foreseen });
    },
  );
});
