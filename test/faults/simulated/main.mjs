// `npm run sim`: runs seeds of the simulation of faults on several threads and says what broke, and how to see it again.
import { readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { ROOT, transpile } from "./transpile.mjs";

/** Seeds that a thread is given at once. */
const CHUNK = 4;
const BAR_WIDTH = 30;

const HELP = `Simulates the router, its journal and its agents in virtual time while faults strike, and checks after every step what must hold.

usage: npm run sim -- [options]

  --seed N         run one seed and show what happened last in it if it fails
  --seeds A..B     run these seeds, those that once failed before them (default 1..200)
  --faults LIST    only these faults, all of them in every seed; "all" for every one (default: each seed draws its own)
  --trace LINES    how many of the last events are shown of a seed that fails (default 60)
  --jobs N         threads (default: one for each core)
  --plant BUG      plant a bug in the production code, to see it found; ends with the first seed that finds it
  --json           print one JSON object
  --help           show this

examples:
  npm run sim -- --seed 42
  npm run sim -- --seeds 1..10000
  npm run sim -- --seeds 1..500 --faults partition,router-crash
  npm run sim -- --seed 42 --faults all --trace 400
  npm run sim -- --plant answer-before-durable
`;

function usage(message) {
  process.stderr.write(`${message}\nSee npm run sim -- --help\n`);
  process.exit(2);
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: "string" },
        seeds: { type: "string" },
        faults: { type: "string" },
        plant: { type: "string" },
        trace: { type: "string", default: "60" },
        jobs: { type: "string", default: String(os.availableParallelism()) },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return values;
  } catch (error) {
    return usage(error.message);
  }
}

function wholeNumber(name, text, least) {
  if (!/^\d{1,15}$/.test(text) || Number(text) < least) usage(`--${name} ${text}: give a whole number from ${least} up.`);
  return Number(text);
}

/** What to run: each a seed and its faults, null for those that it draws. Those that once failed come first. */
function storiesOf({ seed, seeds }, faults, known) {
  if (seed !== undefined && seeds !== undefined) usage("Give either --seed or --seeds.");
  if (seed !== undefined) return [{ seed: wholeNumber("seed", seed, 0), faults }];
  const range = /^(\d{1,9})\.\.(\d{1,9})$/.exec(seeds ?? "1..200");
  if (!range || Number(range[1]) > Number(range[2])) usage(`--seeds ${seeds}: give the first and the last, such as 1..200.`);
  const failed = JSON.parse(readFileSync(new URL("failing-seeds.json", import.meta.url), "utf8")).map((one) => ({ seed: one.seed, faults: faultsOf(one.faults, known) }));
  const wanted = Array.from({ length: Number(range[2]) - Number(range[1]) + 1 }, (_, index) => ({ seed: Number(range[1]) + index, faults }));
  return [...failed, ...wanted];
}

function faultsOf(text, known) {
  if (text === undefined) return null;
  if (text === "all") return known;
  const faults = text.split(",").filter((name) => name !== "");
  const unknown = faults.find((name) => !known.includes(name));
  if (unknown !== undefined) usage(`--faults ${unknown}: there are ${known.join(", ")}.`);
  return faults;
}

function bugNamed(bug) {
  const bugs = JSON.parse(readFileSync(new URL("planted-bugs.json", import.meta.url), "utf8"));
  return bugs.find(({ name }) => name === bug) ?? usage(`--plant ${bug}: there are ${bugs.map(({ name }) => name).join(", ")}.`);
}

/** The folder of the code to run, with a bug in it if there is one. */
function codeWith(bug) {
  if (bug === null) return transpile("sim");
  const { name, file, find, replace } = bug;
  return transpile(`planted-${name}`, (other) => {
    if (other !== file) return undefined;
    const [before, after, ...more] = readFileSync(path.join(ROOT, file), "utf8").split(find);
    if (after === undefined || more.length > 0) usage(`--plant ${name}: ${JSON.stringify(find)} must be in ${file} exactly once, and is there ${after === undefined ? 0 : more.length + 1} times.`);
    return before + replace + after;
  });
}

/** Runs all stories, `chunk` at once in each thread; calls `onOutcome` with each as it comes: when it returns true, the rest is left out. */
async function runAll(stories, folder, jobs, chunk, onOutcome) {
  const waiting = [...stories];
  await Promise.all(
    Array.from({ length: Math.min(jobs, stories.length) }, async () => {
      const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData: { folder } });
      await new Promise((resolve, reject) => {
        worker.on("error", reject);
        worker.on("message", (outcome) => {
          if (outcome) {
            if (onOutcome(outcome)) waiting.length = 0;
          } else if (waiting.length > 0) {
            // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
            worker.postMessage(waiting.splice(0, chunk));
          } else resolve();
        });
      });
      await worker.terminate();
    }),
  );
}

function showProgress(done, total, failed, startedAt) {
  if (!process.stderr.isTTY) return;
  const filled = Math.round((BAR_WIDTH * done) / total);
  const rate = done / ((performance.now() - startedAt) / 1000);
  process.stderr.write(`\r[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ${done}/${total} seeds, ${failed} failed, ${rate.toFixed(1)}/s, ${Math.ceil((total - done) / rate)} s left \x1b[K`);
  if (done === total) process.stderr.write("\r\x1b[K");
}

const given = options();
if (given.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const bug = given.plant === undefined ? null : bugNamed(given.plant);
const folder = pathToFileURL(codeWith(bug)).href;
const { ACTS } = await import(`${folder}/test/faults/simulated/acts.js`);
const { FAULTS } = await import(`${folder}/test/faults/simulated/faults.js`);
const FAULT_NAMES = [...FAULTS, ...ACTS].map(({ name }) => name);
const { runSeed } = await import(`${folder}/test/faults/simulated/run-seed.js`);
const stories = storiesOf(given, faultsOf(given.faults ?? bug?.faults, FAULT_NAMES), FAULT_NAMES);
const traceLines = wholeNumber("trace", given.trace, 1);
const startedAt = performance.now();
const outcomes = [];
await runAll(stories, folder, wholeNumber("jobs", given.jobs, 1), bug ? 1 : CHUNK, (outcome) => {
  outcomes.push(outcome);
  showProgress(outcomes.length, stories.length, outcomes.filter(({ violation }) => violation).length, startedAt);
  return bug !== null && outcome.violation !== null;
});
const wallMs = performance.now() - startedAt;

const sum = (of) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
const failed = outcomes.filter(({ violation }) => violation).sort((a, b) => a.seed - b.seed);
const again = ({ seed, given: chosen }) => `npm run sim -- --seed ${seed}${chosen ? ` --faults ${chosen.length === FAULT_NAMES.length ? "all" : chosen.join(",")}` : ""}${given.plant === undefined ? "" : ` --plant ${given.plant}`}`;
const happened = {};
for (const outcome of outcomes) for (const [what, count] of Object.entries(outcome.happened)) happened[what] = (happened[what] ?? 0) + count;
const totals = {
  seeds: outcomes.length,
  failed: failed.length,
  requests: sum(({ requests }) => requests),
  attempts: sum(({ attempts }) => attempts),
  engine_steps: sum(({ engineSteps }) => engineSteps),
  virtual_seconds: Math.round(sum(({ virtualMs }) => virtualMs) / 1000),
  wall_seconds: Math.round(wallMs / 100) / 10,
};
if (given.json) {
  const failures = failed.map((outcome) => {
    const { seed, faults, violation } = outcome;
    return { seed, faults, invariant: violation.invariant, detail: violation.detail, at_ms: violation.atMs, again: again(outcome) };
  });
  process.stdout.write(`${JSON.stringify({ ...totals, happened, failures }, null, 2)}\n`);
} else {
  // The first one is shown whole; it is run again for that, and does the same.
  for (const [index, outcome] of failed.entries()) {
    const { seed, faults, violation } = outcome;
    process.stdout.write(`seed ${seed} breaks ${violation.invariant} after ${(violation.atMs / 1000).toFixed(3)} s\n  ${violation.detail}\n  faults: ${faults.join(", ")}\n`);
    if (index === 0) {
      const traced = await runSeed({ seed, faults: outcome.given, traceLines });
      const same = traced.violation?.detail === violation.detail;
      process.stdout.write(`  the last ${Math.min(traceLines, traced.trace.length)} events:\n${traced.trace.map((line) => `    ${line}\n`).join("")}`);
      if (!same) process.stdout.write(`  IT DID NOT DO THE SAME AGAIN: ${traced.violation?.detail ?? "nothing broke"}; something in it is not seeded.\n`);
    }
    process.stdout.write(`  again: ${again(outcome)}\n\n`);
  }
  process.stdout.write(
    `${totals.seeds} seeds, ${totals.failed} failed: ${totals.requests} requests, ${totals.attempts} attempts, ${totals.engine_steps} steps of the engine, ` +
      `${totals.virtual_seconds} s of virtual time in ${totals.wall_seconds} s (${(totals.seeds / Math.max(0.1, totals.wall_seconds)).toFixed(1)} seeds/s)\n`,
  );
  if (failed.length === 0 && stories.length === 1) process.stdout.write(`faults: ${outcomes[0].faults.join(", ")}\n`);
}
process.exitCode = failed.length > 0 ? 1 : 0;
