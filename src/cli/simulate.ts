// `gpu-router simulate`: the production scheduler in virtual time. Turns options into a study, runs it, shows what came of it.
import { existsSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";

import { Option, type Command } from "commander";

import { figuresOf } from "../sim/figures.js";
import { USUAL, type Policy } from "../sim/policies.js";
import { SCENARIOS } from "../sim/scenarios.js";
import type { TrialPool } from "../sim/trial-pool.js";
import type { Study } from "../sim/trials.js";
import { sourcesOf } from "../sim/workload/build.js";
import { isSynthetic } from "../sim/workload/sources.js";
import { CliFailure, ExitCode, usageFailure } from "./failure.js";
import type { CommandContext } from "./router-command.js";
import { runCells, type Cell } from "./simulate/cells.js";
import { runComparisons } from "./simulate/compare-command.js";
import { compareMarkdown } from "./simulate/compare-markdown.js";
import { CsvFile } from "./simulate/csv-file.js";
import { goodputText, searchGoodput } from "./simulate/goodput-command.js";
import { jsonText } from "./simulate/json.js";
import { listText } from "./simulate/list-text.js";
import { loadList, policyList, seedList } from "./simulate/option-values.js";
import { showProgress } from "./simulate/progress.js";
import { simulationHtml } from "./simulate/report-html.js";
import { cellsText, sourcesText, studyText } from "./simulate/report-text.js";
import { openScenario } from "./simulate/scenario-file.js";
import { addStudyOptions, DEFAULT_SCENARIO, studyOf, withPool, type StudyOptions } from "./simulate/study-options.js";
import { styleFor } from "./style.js";
import { write } from "./terminal.js";

interface SimulateOptions extends StudyOptions {
  readonly scenario?: string;
  readonly policy?: readonly Policy[];
  readonly strategy?: readonly Policy[];
  readonly load: readonly number[];
  readonly list?: true;
  readonly goodput?: true;
  readonly compare?: true;
  readonly ablations: boolean;
  readonly quick?: true;
  readonly json?: true;
  readonly csv?: string;
  readonly html?: string;
  readonly markdown?: string;
}

const QUICK = { seeds: [1001, 1002], minutes: 4 };

/** Adds the command. */
export function registerSimulate(program: Command, context: CommandContext): void {
  const command = program
    .command("simulate")
    .description("Run the scheduler on simulated GPUs in virtual time and compare strategies")
    .option("--scenario <name|file.yaml>", `what is asked for, and which GPUs there are; --list shows all (default: ${DEFAULT_SCENARIO})`)
    .addOption(new Option("-p, --policy <list>", `strategies, with @1/4 behind one for a quarter of the GPUs to batch work; or peers, ablations (default: ${USUAL.map(({ name }) => name).join(",")})`).argParser(policyList))
    .addOption(new Option("--strategy <list>", "the same").argParser(policyList))
    .addOption(new Option("-l, --load <list>", "multiples of the scenario's own load: 1,2,4").argParser(loadList).default([1], "1"))
    .option("--list", "show scenarios, policies and kinds of GPU, and end")
    .option("--goodput", "search the largest load that each policy carries within the SLO")
    .option("--compare", "hybrid against LEAST_LOADED and the best peer; --scenario may be a list here (default: all that need no traces, or all that do when --traces is given)")
    .option("--no-ablations", "with --compare: leave out hybrid without each of its pieces, which takes longer than all the rest")
    .option("--quick", `${QUICK.seeds.length} seeds of ${QUICK.minutes} minutes, for a first look`)
    .option("--json", "print JSON for machines")
    .option("--csv <file>", "write a line for each request of each run")
    .option("--html <file>", "write the report as a page with plots, one file that needs no network")
    .option("--markdown <file>", "with --compare: write its tables");
  addStudyOptions(command, "1..3")
    .addHelpText(
      "after",
      `
The router's own scheduler runs here, on a virtual clock; GPUs, engines, networks and faults are simulated. The same options
give the same figures, whatever the number of threads. Unless --no-faults is given or a scenario
file says otherwise, one GPU in sixteen takes 1.5 times as long and nobody is told, and one breaks halfway and is back two minutes later.

A request is in its SLO when its first output and its end came in time. One that failed or was refused counts as at least 30 s.
A policy is a strategy in a shared pool, or with GPUs that serve nothing but work without an SLO (least_loaded@1/4), or hybrid
without one of its pieces (hybrid-placement). Ctrl-C stops and shows what is done.

Exit code: 0 done, 1 failed, 2 bad usage, 130 stopped by Ctrl-C.

Examples:
  $ gpu-router simulate
  $ gpu-router simulate --policy hybrid,round_robin --load 1,2,4 --seeds 1..5 --html report.html
  $ gpu-router simulate --fleet 2x8xL40S,8xA10G --load 0.5 --csv requests.csv
  $ gpu-router simulate --goodput --policy hybrid,peers
  $ gpu-router simulate --scenario main --traces DIR --set hybrid.batch_step_share=0.4
  $ gpu-router simulate --compare --quick`,
    )
    .action(async (options: SimulateOptions) => {
      const given = (name: keyof SimulateOptions): boolean => (command.getOptionValueSource(name) ?? "default") !== "default";
      context.exitCode = await simulateCommand(context, options, given);
    });
}

async function simulateCommand({ terminal }: CommandContext, options: SimulateOptions, given: (name: keyof SimulateOptions) => boolean): Promise<number> {
  const style = styleFor(terminal.stdout, terminal.env);
  if (options.list) {
    await write(terminal.stdout, listText(style));
    return ExitCode.ok;
  }
  if (options.goodput && options.compare) throw usageFailure("give --goodput or --compare, not both");
  const searches = options.goodput === true || options.compare === true;
  if (searches && (options.csv ?? options.html) !== undefined) throw usageFailure("--csv and --html are of single loads: leave out --goodput and --compare");
  if ((options.markdown !== undefined || !options.ablations) && !options.compare) throw usageFailure("--markdown and --no-ablations are of --compare");
  if (searches && given("load")) throw usageFailure("--goodput and --compare search the load themselves: leave out --load");
  if (options.compare && (given("policy") || given("strategy"))) throw usageFailure("--compare says itself which policies it compares: leave out --policy, or give it without --compare or with --goodput");
  const seedsGiven = given("seeds");
  const quick = options.quick ? { ...options, minutes: options.minutes ?? QUICK.minutes, seeds: seedsGiven ? options.seeds : QUICK.seeds } : options;
  const seeds = options.compare && !seedsGiven && !options.quick ? seedList("1001..1010") : quick.seeds;
  const studies = scenariosOf(options).map((name) => studyOf({ ...quick, seeds }, openScenario(name)));
  const [study] = studies;
  if (!study) throw usageFailure("give a scenario");
  for (const file of [options.html, options.markdown]) if (file !== undefined) await openReport(file);

  const sources = options.compare ? [] : await sourcesOf(study.scenario, study.traces, study.durationMs);
  return withPool(terminal, options, async (pool, stopped) => {
    const startedMs = performance.now();
    let what = study.scenario.name;
    await write(terminal.stderr, studies.length === 1 ? `${studyText(study, styleFor(terminal.stderr, terminal.env))}${sourcesText(sources)}` : `${studies.length} scenarios, ${seeds.length} seeds pooled\n`);
    const progress = showProgress(terminal, () => ({ what, pool: pool.progress(), elapsedMs: performance.now() - startedMs, foreseen: !searches }));
    try {
      if (options.compare) {
        const done = await runComparisons(pool, studies, options.ablations, (text) => (what = text), (line) => write(terminal.stderr, line));
        progress.stop();
        const markdown = compareMarkdown(done);
        await write(terminal.stdout, options.json ? jsonText(done) : markdown);
        if (options.markdown !== undefined) await writeFile(options.markdown, markdown);
      } else if (options.goodput) {
        const report = await searchGoodput(pool, study, policiesOf(options));
        progress.stop();
        await write(terminal.stdout, options.json ? jsonText({ ...report, sources }) : goodputText(report, style));
      } else {
        const cells = await runLoads(pool, study, options);
        progress.stop();
        await write(terminal.stdout, options.json ? jsonText({ scenario: study.scenario.name, sources, runs: cells.map(jsonOf) }) : cellsText(cells, style));
        if (options.html !== undefined) {
          await writeFile(options.html, simulationHtml(study, cells));
          await write(terminal.stderr, `Report page: ${options.html}\n`);
        }
        if (!stopped.aborted && cells.every(({ measures }) => measures === null)) throw new CliFailure(cells[0]?.trouble ?? "nothing was simulated");
      }
      return stopped.aborted ? ExitCode.interrupted : ExitCode.ok;
    } finally {
      progress.stop();
    }
  });
}

async function runLoads(pool: TrialPool, study: Study, options: SimulateOptions): Promise<Cell[]> {
  if (options.csv === undefined) return runCells(pool, study, policiesOf(options), options.load);
  const csv = await CsvFile.open(options.csv);
  try {
    return await runCells(pool, study, policiesOf(options), options.load, (run) => csv.add(run));
  } finally {
    await csv.close();
  }
}

function jsonOf({ policy, load, measures, trouble }: Cell): object {
  return measures === null ? { policy, load, trouble: trouble ?? "stopped" } : figuresOf(measures);
}

function policiesOf({ policy, strategy }: SimulateOptions): readonly Policy[] {
  const given = [...(policy ?? []), ...(strategy ?? [])];
  return given.length === 0 ? USUAL : given;
}

function scenariosOf({ scenario, compare, traces }: SimulateOptions): string[] {
  if (!compare) return [scenario ?? DEFAULT_SCENARIO];
  // A file's name may have commas.
  if (scenario !== undefined) return existsSync(scenario) ? [scenario] : scenario.split(",");
  return SCENARIOS.filter(({ parts }) => parts.every(({ source }) => isSynthetic(source)) === (traces === undefined)).map(({ name }) => name);
}

/** Better to fail here than after an hour. */
async function openReport(file: string): Promise<void> {
  try {
    await (await open(file, "a")).close();
  } catch (error) {
    throw new CliFailure(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
