// The options that `simulate` and `capacity` share: which scenario, how long, which seeds, what goes wrong, how many threads.
import { availableParallelism } from "node:os";

import { InvalidArgumentError, Option, type Command } from "commander";

import { NO_FAULTS } from "../../sim/faults.js";
import type { SettingsOverride } from "../../sim/overrides.js";
import { DEFAULT_FAULTS } from "../../sim/set-up.js";
import { TrialPool } from "../../sim/trial-pool.js";
import type { Study } from "../../sim/trials.js";
import type { FleetPlan, Scenario } from "../../sim/workload/scenario.js";
import { decimalNumber, wholeNumber } from "../option-parsers.js";
import type { Terminal } from "../terminal.js";
import { fleetPlan, seedList } from "./option-values.js";
import { NO_OVERRIDE, settingOption } from "./settings-option.js";

export const DEFAULT_SCENARIO = "synthetic-main";

export interface StudyOptions {
  readonly seeds: readonly number[];
  readonly minutes?: number;
  readonly fleet?: FleetPlan;
  readonly traces?: string;
  readonly set?: SettingsOverride;
  readonly faults: boolean;
  readonly scaling: Study["scaling"];
  readonly prefixCache: number | null;
  readonly jobs?: number;
}

/** Adds them. */
export function addStudyOptions(command: Command, defaultSeeds: string): Command {
  return command
    .addOption(new Option("--seeds <list>", "1..10 or 3,5,8; each enters the traces elsewhere, results are pooled").argParser(seedList).default(seedList(defaultSeeds), defaultSeeds))
    .option("--minutes <n>", "how long requests arrive (default: the scenario's own time)", decimalNumber(0, 10_080))
    .option("--fleet <spec>", "instead of the scenario's GPUs: 8xH100-80GB,2x8xL40S or openb:128", fleetPlan)
    .addOption(new Option("--traces <dir>", "folder of public traces; not needed by scenarios whose name begins with synthetic").env("GPU_ROUTER_TRACES"))
    .option("--set <name=value>", "a setting of the core for all policies, again for more: hybrid.batch_step_share=0.5, weights.usage=1, task_specific_mappings.batch=gpu_0,gpu_1", settingOption)
    .option("--no-faults", "no stragglers, no GPU that breaks, whatever the scenario says")
    .addOption(new Option("--scaling <how>", "how a load above 1 is reached: more users, or the same ones faster").choices(["superpose", "compress"]).default("superpose"))
    .addOption(new Option("--prefix-cache <tokens>", "tokens that each GPU's prefix cache holds, or unlimited").argParser(prefixCache).default(null, "what its memory leaves"))
    .option("--jobs <n>", "worker threads; 0 runs all in the process itself, for profilers (default: one for each core)", wholeNumber(0, 1024));
}

/** The study that the options describe. */
export function studyOf(options: StudyOptions, scenario: Scenario): Study {
  return {
    scenario,
    traces: options.traces ?? null,
    fleet: options.fleet ?? null,
    durationMs: options.minutes === undefined ? scenario.durationMs : options.minutes * 60_000,
    scaling: options.scaling,
    seeds: options.seeds,
    conditions: { faults: options.faults ? (scenario.faults ?? DEFAULT_FAULTS) : NO_FAULTS, override: options.set ?? NO_OVERRIDE, prefixCacheTokens: options.prefixCache },
  };
}

/** Runs `work` with a pool of the wanted size; Ctrl-C closes the pool and sets `stopped`. */
export async function withPool<T>(terminal: Terminal, options: StudyOptions, work: (pool: TrialPool, stopped: AbortSignal) => Promise<T>): Promise<T> {
  const pool = new TrialPool(options.jobs ?? availableParallelism());
  const stop = new AbortController();
  const forget = terminal.onInterrupt(() => {
    if (stop.signal.aborted) return;
    terminal.stderr.write("\nStopping; showing what is done.\n");
    stop.abort();
    void pool.close();
  });
  try {
    return await work(pool, stop.signal);
  } finally {
    forget();
    await pool.close();
  }
}

function prefixCache(text: string): number {
  if (text === "unlimited") return Number.POSITIVE_INFINITY;
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError("Give a number of tokens, or unlimited.");
  return Number(text);
}
