// `npm run test:faults`: real routers and agents, killed, paused, cut off and starved of disk. Parses the options, runs the tests of this
// folder with jest in a folder of their own, shows the figures, and leaves nothing behind, whether they end, fail or are stopped.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { figureTables } from "./figure-tables.mjs";
import { leaveNothing } from "./leave-nothing.mjs";

const HELP = `Usage: npm run test:faults -- [options]

  --short              few repetitions: 10 kills of each kind, 5 measurements of each kind
  --router-kills <n>   kill -9 of the router under load (default: 200)
  --agent-kills <n>    kill -9 of agents under load (default: 200)
  --runs <n>           measurements of the time from death to re-dispatch, for each kind of death (default: 50)
  --seed <n>           of all that is random but the machine (default: drawn and printed)
  --only <words>       only tests whose name has these words; a regular expression
  --goal-ms <n>        largest p99 of the time from death to re-dispatch (default: 1000; with --short 2000, since few runs say little)
  --figures <file>     writes the figures, with the machine, as JSON
  --json, --outputFile <file>   jest's report, as jest has them

Examples:
  npm run test:faults -- --short
  npm run test:faults -- --only "kill -9 of the router" --router-kills 20 --seed 7
  npm run test:faults -- --figures faults.json`;

const root = path.dirname(path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url)))));
process.chdir(root);
const { values: options } = parseOptions();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const settings = {
  routerKills: count("router-kills", options.short ? 10 : 200),
  agentKills: count("agent-kills", options.short ? 10 : 200),
  runs: count("runs", options.short ? 5 : 50),
  goalMs: count("goal-ms", options.short ? 2000 : 1000),
  seed: count("seed", Math.floor(Math.random() * 2 ** 32)),
  terminal: process.stderr.isTTY === true,
};
const folder = mkdtempSync(path.join(os.tmpdir(), "gpu-router-faults-"));
const prefix = `gr${process.pid}`;
const figuresFolder = path.join(folder, "figures");
console.error(`Real faults: ${settings.routerKills} + ${settings.agentKills} kills, ${settings.runs} runs; repeat with --seed ${settings.seed}`);

const startedAt = performance.now();
const jest = spawn(
  process.execPath,
  [
    "--experimental-vm-modules", "node_modules/jest/bin/jest.js", "--config", "jest.faults.config.mjs", "--runInBand", "--verbose",
    ...(options.only === undefined ? [] : ["--testNamePattern", options.only]),
    ...(options.json ? ["--json"] : []),
    ...(options.outputFile === undefined ? [] : ["--outputFile", path.resolve(options.outputFile)]),
  ],
  {
    env: { ...process.env, TMPDIR: folder, NODE_NO_WARNINGS: "1", GPU_ROUTER_FAULTS: JSON.stringify({ ...settings, figuresFolder, prefix }) },
    stdio: ["ignore", "inherit", "pipe"],
  },
);
// Through a pipe, so that jest leaves the terminal to the progress bars.
jest.stderr.pipe(process.stderr);
let stoppedBy = null;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stoppedBy ??= signal;
    jest.kill("SIGKILL");
  });
}
const code = await new Promise((resolve) => jest.on("close", resolve));
const figures = collect();
const left = leaveNothing(folder, prefix);
if (stoppedBy !== null) {
  console.error(`\nStopped by ${stoppedBy}; what was running has been ended.`);
  process.exit(128 + os.constants.signals[stoppedBy]);
}
console.error(figureTables(figures));
if (options.figures !== undefined) writeFileSync(options.figures, `${JSON.stringify(figures, null, 2)}\n`);
console.error(`In ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`);
if (left.length > 0) console.error(`The tests had left: ${left.join(", ")}`);
process.exitCode = code === 0 && left.length > 0 ? 1 : (code ?? 1);

function parseOptions() {
  try {
    return parseArgs({
      options: {
        short: { type: "boolean", default: false }, "router-kills": { type: "string" }, "agent-kills": { type: "string" }, runs: { type: "string" }, "goal-ms": { type: "string" }, seed: { type: "string" },
        only: { type: "string" }, figures: { type: "string" }, json: { type: "boolean", default: false }, outputFile: { type: "string" }, help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

/** An option that is a whole number from 0 on. */
function count(name, otherwise) {
  const text = options[name];
  if (text === undefined) return otherwise;
  if (/^\d+$/.test(text)) return Number(text);
  console.error(`--${name} must be a whole number from 0 on: it is "${text}".`);
  process.exit(2);
}

function collect() {
  const [cpu] = os.cpus();
  const machine = { cpu: cpu?.model ?? "", cores: os.cpus().length, memoryGib: Math.round(os.totalmem() / 2 ** 30), kernel: `${os.type()} ${os.release()}`, node: process.version };
  let files = [];
  try {
    files = readdirSync(figuresFolder).toSorted();
  } catch {
    // No test came so far.
  }
  const read = (file) => [path.basename(file, ".json"), JSON.parse(readFileSync(path.join(figuresFolder, file), "utf8"))];
  return { machine, settings, ...Object.fromEntries(files.map(read)) };
}
