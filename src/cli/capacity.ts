// `gpu-router capacity`: how many GPUs of which kind carry a load within an SLO. Found by simulation, kind by kind.
import { InvalidArgumentError, Option, type Command } from "commander";

import { SIMULATED_SETTINGS_TEXT } from "../sim/set-up.js";
import { boundOf } from "../sim/bound-of.js";
import { figuresOf, type Figures } from "../sim/figures.js";
import { plannedGpus } from "../sim/fleets.js";
import { DEFAULT_GOAL, type Goal } from "../sim/goodput.js";
import { gpusNeeded, scaledFleet } from "../sim/gpus-needed.js";
import { HYBRID, type Policy } from "../sim/policies.js";
import { PoolClosed, type TrialPool } from "../sim/trial-pool.js";
import { evaluate, type Study } from "../sim/trials.js";
import type { TenantSlo } from "../sim/workload/arrival.js";
import { buildWorkload, sourcesOf } from "../sim/workload/build.js";
import type { FleetPlan } from "../sim/workload/scenario.js";
import { GPU_KIND_NAMES, isGpuKind } from "../simulated-gpu/gpu-kinds.js";
import { CliFailure, ExitCode, usageFailure } from "./failure.js";
import { decimalNumber } from "./option-parsers.js";
import { durationText, rateText, shareText } from "./quantity-text.js";
import type { CommandContext } from "./router-command.js";
import { jsonText } from "./simulate/json.js";
import { fleetPlan, policyList } from "./simulate/option-values.js";
import { showProgress } from "./simulate/progress.js";
import { sourcesText } from "./simulate/report-text.js";
import { openScenario } from "./simulate/scenario-file.js";
import { sloOption, withSlo } from "./simulate/slo-option.js";
import { addStudyOptions, DEFAULT_SCENARIO, studyOf, withPool, type StudyOptions } from "./simulate/study-options.js";
import { styleFor, type Style } from "./style.js";
import { write } from "./terminal.js";
import { textTable, type Column } from "./text-table.js";

interface CapacityOptions extends StudyOptions {
  readonly scenario: string;
  readonly load: number;
  readonly rate?: number;
  readonly slo?: Partial<TenantSlo>;
  readonly attainment: number;
  readonly kinds: readonly string[];
  readonly policy: readonly Policy[];
  readonly json?: true;
}

/** What a fleet must have; `gpus` null when no number of them carries the load, and `trouble` says why. */
interface Need {
  readonly fleet: string;
  readonly policy: string;
  readonly gpus: number | null;
  readonly trouble: string | null;
  readonly figures: Figures | null;
}

/** A well-run fleet carries about this share of what no scheduler exceeds. */
const GUESS = 0.4;
const GPUS_PER_NODE = 8;
const DEFAULT_KINDS = ["H100-80GB", "A100-80GB", "scenario"];

/** Adds the command. */
export function registerCapacity(program: Command, context: CommandContext): void {
  const command = program
    .command("capacity")
    .description("Find how many GPUs of which kind carry a load within an SLO, by simulation")
    .option("--scenario <name|file.yaml>", "what is asked for; `gpu-router simulate --list` shows all", DEFAULT_SCENARIO)
    .option("-l, --load <n>", "multiple of the scenario's own load", decimalNumber(0, 1000), 1)
    .option("--rate <n>", "requests per second, instead of --load", decimalNumber(0, 1_000_000))
    .option("--slo <spec>", "for everybody who has one: first=2s,total=2.5x,floor=2s", sloOption)
    .option("--attainment <share>", "of the requests that must be in their SLO; of each user's 5 % less", decimalNumber(0.05, 1), DEFAULT_GOAL.attainment)
    .addOption(new Option("--kinds <list>", 'kinds of GPU to compare: H100-80GB, 1xH100-80GB+2xL40S for a mix, "scenario" for its own').argParser(kindList).default(DEFAULT_KINDS, DEFAULT_KINDS.join(",")))
    .addOption(new Option("-p, --policy <list>", "strategies to compare").argParser(policyList).default([HYBRID], HYBRID.name))
    .option("--json", "print JSON for machines");
  addStudyOptions(command, "1..3")
    .addHelpText(
      "after",
      `
Fleets are made of nodes of ${GPUS_PER_NODE} GPUs. The number found is the smallest from which one fewer no longer does; it counts the spare
capacity that faults take (see --no-faults). Add what you keep for growth.
${SIMULATED_SETTINGS_TEXT}

Examples:
  $ gpu-router capacity --load 4
  $ gpu-router capacity --rate 50 --slo first=1s --kinds H100-80GB,L40S+A10G --minutes 5
  $ gpu-router capacity --scenario my-scenario.yaml --policy hybrid,round_robin --kinds scenario`,
    )
    .action(async (options: CapacityOptions) => {
      if (options.rate !== undefined && command.getOptionValueSource("load") !== "default") throw usageFailure("give --rate or --load, not both");
      if (options.fleet !== undefined && !options.kinds.includes("scenario")) throw usageFailure("--fleet is what scenario stands for in --kinds: put scenario there, or leave out --fleet");
      context.exitCode = await capacityCommand(context, options);
    });
}

async function capacityCommand({ terminal }: CommandContext, options: CapacityOptions): Promise<number> {
  const style = styleFor(terminal.stdout, terminal.env);
  const scenario = withSlo(openScenario(options.scenario), options.slo ?? {});
  const study = studyOf(options, scenario);
  const goal: Goal = { ...DEFAULT_GOAL, attainment: options.attainment, worstUser: options.attainment - (DEFAULT_GOAL.attainment - DEFAULT_GOAL.worstUser) };
  const sources = await sourcesOf(scenario, study.traces, study.durationMs);
  const own = await requestsPerSecond(study);
  const load = options.rate === undefined ? options.load : options.rate / own;
  return withPool(terminal, options, async (pool, stopped) => {
    const startedMs = performance.now();
    const progress = showProgress(terminal, () => ({ what: "capacity", pool: pool.progress(), elapsedMs: performance.now() - startedMs, foreseen: false }));
    try {
      await write(terminal.stderr, `${scenario.title}\nload ${Number(load.toPrecision(4))}, ${rateText(load * own)} requests/s, ${study.seeds.length} seeds of ${durationText(study.durationMs)}\n${sourcesText(sources)}`);
      const asked = options.kinds.flatMap((fleet) => options.policy.map((policy) => need(pool, study, policy, fleet, load, goal)));
      const needs = (await Promise.all(asked)).filter((each) => each !== null);
      progress.stop();
      await write(terminal.stdout, options.json ? jsonText({ scenario: scenario.name, sources, load, requestsPerSecond: load * own, goal, needs }) : needsText(needs, load * own, style));
      if (stopped.aborted) return ExitCode.interrupted;
      if (needs.every(({ gpus }) => gpus === null)) throw new CliFailure(`no fleet carries this: ${needs[0]?.trouble ?? "try a smaller --load"}`);
      return ExitCode.ok;
    } finally {
      progress.stop();
    }
  });
}

/** null when it was stopped. */
async function need(pool: TrialPool, study: Study, policy: Policy, fleet: string, load: number, goal: Goal): Promise<Need | null> {
  const plan = planOf(fleet, study);
  const bound = await boundOf({ ...study, fleet: plan });
  if (!(bound > 0)) return { fleet, policy: policy.name, gpus: null, trouble: "a model does not fit on any of its GPUs", figures: null };
  const guess = Math.min(1024, Math.max(1, Math.round((plannedGpus(plan) * load) / (bound * GUESS))));
  try {
    const { gpus, measures } = await gpusNeeded((count) => evaluate(pool, { ...study, fleet: scaledFleet(plan, count) }, policy, load), goal, guess);
    return { fleet, policy: policy.name, gpus, trouble: gpus === null ? "more GPUs than can be simulated are not enough: the SLO cannot be kept on this kind" : null, figures: measures && figuresOf(measures) };
  } catch (error) {
    if (error instanceof PoolClosed) return null;
    throw error;
  }
}

function planOf(fleet: string, { scenario, fleet: own }: Study): FleetPlan {
  if (fleet === "scenario") return own ?? scenario.fleet;
  return { groups: fleet.split("+").map((kind) => (isGpuKind(kind) ? { kind, gpus: GPUS_PER_NODE, nodes: 1 } : groupOf(kind))) };
}

function groupOf(text: string): { readonly kind: string; readonly gpus: number; readonly nodes: number } {
  const plan = fleetPlan(text);
  const [group] = "groups" in plan ? plan.groups : [];
  if (!group) throw new InvalidArgumentError(`"${text}" is no kind of GPU.`);
  return group;
}

function kindList(text: string): string[] {
  const fleets = text.split(",").map((each) => each.trim());
  for (const fleet of fleets) {
    if (fleet === "scenario") continue;
    for (const kind of fleet.split("+")) if (!isGpuKind(kind)) groupOf(kind);
  }
  if (fleets.some((each) => each === "")) throw new InvalidArgumentError(`Give kinds such as ${GPU_KIND_NAMES.slice(0, 3).join(",")}, or scenario.`);
  return fleets;
}

async function requestsPerSecond({ scenario, traces, durationMs, scaling }: Study): Promise<number> {
  const workload = await buildWorkload(scenario, traces, { load: 1, scaling, durationMs });
  let requests = 0;
  for (const _ of workload.arrivals(1)) requests += 1;
  if (requests === 0) throw new CliFailure("the scenario has no requests in this time: give more --minutes");
  return (requests / durationMs) * 1000;
}

function needsText(needs: readonly Need[], requestsPerSecondAsked: number, style: Style): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const rows = needs.map(({ fleet, policy, gpus, figures }) => [
    fleet,
    policy,
    gpus === null ? "none" : String(gpus),
    ...(figures === null || gpus === null
      ? ["-", "-", "-", "-", "-", "-", "-"]
      : [
          rateText(requestsPerSecondAsked / gpus),
          shareText(figures.attainment),
          shareText(figures.attainmentSpread.deviation),
          figures.worstUserAttainment === null ? "-" : shareText(figures.worstUserAttainment),
          figures.batchCompletion === null ? "-" : shareText(figures.batchCompletion),
          durationText(figures.firstOutput.p95Ms),
          shareText(figures.busyShare),
        ]),
  ]);
  const head = [{ title: "FLEET" }, { title: "POLICY" }, ...["GPUS", "REQUESTS/S EACH", "IN SLO", "± SEEDS", "WORST USER", "BATCH", "FIRST P95", "BUSY"].map(right)];
  const made = needs.flatMap(({ figures, gpus, fleet }) => (figures !== null && gpus !== null && figures.gpus.length > 1 ? [`${fleet}: ${figures.gpus.map(({ kind, count }) => `${count} ${kind}`).join(", ")}\n`] : []));
  const troubles = needs.flatMap(({ fleet, trouble }) => (trouble === null ? [] : [`${fleet}: ${trouble}\n`]));
  return [textTable(head, rows, style.dim), ...made, ...troubles].join("");
}
