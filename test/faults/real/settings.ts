// What main.mjs was asked for: numbers of repetitions, the seed, where figures go. Called by every test of this folder.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { hash32, seededRandom } from "../../../src/lib/random.js";

export interface FaultSettings {
  readonly routerKills: number;
  readonly agentKills: number;
  /** Measurements of the time from death to re-dispatch, for each kind of death. */
  readonly runs: number;
  /** Bound of their 99th percentile. */
  readonly goalMs: number;
  readonly seed: number;
  /** Each test leaves its figures here as a JSON file. */
  readonly figuresFolder: string;
  /** What network namespaces and links are called begins so. */
  readonly prefix: string;
  /** Whether a person looks at stderr. */
  readonly terminal: boolean;
}

const given = process.env["GPU_ROUTER_FAULTS"];
if (given === undefined) throw new Error("These tests are started by `npm run test:faults`; see test/faults/real/main.mjs.");
export const settings = JSON.parse(given) as FaultSettings;

/** Randomness of one test, from the seed that main.mjs prints. */
export function randomOf(test: string): () => number {
  return seededRandom(hash32(`${settings.seed}/${test}`));
}

/** Writes the figures of a test where main.mjs collects them. */
export function leaveFigures(name: string, figures: object): void {
  mkdirSync(settings.figuresFolder, { recursive: true });
  writeFileSync(path.join(settings.figuresFolder, `${name}.json`), JSON.stringify(figures));
}
