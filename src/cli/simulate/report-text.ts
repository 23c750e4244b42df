// The result of `simulate` as text: a line for each policy and load, and how each user fared.
import { figuresOf } from "../../sim/figures.js";
import type { Study } from "../../sim/trials.js";
import { plannedGpus } from "../../sim/fleets.js";
import type { PartSource } from "../../sim/workload/build.js";
import { isOwnSource } from "../../sim/workload/sources.js";
import { countText, durationText, shareText } from "../quantity-text.js";
import type { Style } from "../style.js";
import { textTable, type Column } from "../text-table.js";
import type { Cell } from "./cells.js";

/** What is simulated, in a few lines. */
export function studyText({ scenario, fleet, durationMs, seeds, conditions }: Study, style: Style): string {
  const plan = fleet ?? scenario.fleet;
  const gpus = "groups" in plan ? plan.groups.map((group) => `${group.gpus * group.nodes} ${group.kind}`).join(", ") : `${plan.openbGpus} GPUs of openb`;
  const { stragglers, slowdown, gpuFailures, flaky } = conditions.faults;
  const flakyText = flaky ? `, GPUs on which ${shareText(flaky.errorRate)} of attempts fail ${flaky.gpus}` : "";
  const faults = stragglers + gpuFailures + (flaky?.gpus ?? 0) === 0 ? "nothing goes wrong" : `stragglers ${Math.round(stragglers * plannedGpus(plan))} (each ${slowdown} times as slow), GPUs that break on the way ${gpuFailures}${flakyText}`;
  return `${style.bold(scenario.title)}\n${gpus}; ${durationText(durationMs)} of requests, ${seeds.length === 1 ? `seed ${seeds[0]}` : `${seeds.length} seeds pooled`}; ${faults}\n`;
}

/** Where requests come from: traces of one's own, and whatever is too short for the run and repeats. Nothing for the rest, which `--list` tells. */
export function sourcesText(sources: readonly PartSource[]): string {
  return sources
    .filter(({ source, laps }) => isOwnSource(source) || (laps ?? 0) > 1)
    .map(({ part, source, format, requests, leftOut, spanMs, laps }) => {
      const what = requests === null ? `${format}, requests drawn` : `${format}, ${countText(requests)} requests`;
      return `${part}: ${source}, ${what}, ${durationText(spanMs)}${leftOut > 0 ? `; ${countText(leftOut)} rows without work left out` : ""}${(laps ?? 0) > 1 ? `; repeats, ${Number((laps ?? 0).toPrecision(2))} times through` : ""}\n`;
    })
    .join("");
}

/** The table of policies and loads, then for each load the users. */
export function cellsText(cells: readonly Cell[], style: Style): string {
  const done = cells.flatMap(({ measures }) => (measures === null ? [] : [figuresOf(measures)]));
  const right = (title: string): Column => ({ title, align: "right" });
  const seeded = done.some(({ seeds }) => seeds.length > 1);
  const overview = textTable(
    [{ title: "POLICY" }, ...["LOAD", "REQUESTS", "IN SLO", ...(seeded ? ["± SEEDS"] : []), "WORST USER", "BATCH", "FIRST P50", "P95", "P99", "TOTAL MEAN", "P99", "BUSY"].map(right)],
    done.map((each) => [
      each.policy,
      String(each.load),
      countText(each.requests),
      // Without an SLO there is none to keep.
      each.worstUserAttainment === null ? "-" : shareText(each.attainment),
      ...(seeded ? [each.worstUserAttainment === null ? "-" : shareText(each.attainmentSpread.deviation)] : []),
      each.worstUserAttainment === null ? "-" : shareText(each.worstUserAttainment),
      each.batchCompletion === null ? "-" : shareText(each.batchCompletion),
      ...[each.firstOutput.p50Ms, each.firstOutput.p95Ms, each.firstOutput.p99Ms, each.response.meanMs, each.response.p99Ms].map(durationText),
      shareText(each.busyShare),
    ]),
    style.dim,
  );
  const troubles = cells.flatMap(({ policy, load, trouble }) => (trouble === null ? [] : [`${policy} at load ${load}: ${trouble}\n`]));
  const unfinished = cells.filter(({ measures, trouble }) => measures === null && trouble === null).length;
  const stopped = unfinished === 0 ? "" : `${unfinished} of ${cells.length} rows were not begun or not done.\n`;
  return [done.length === 0 ? "" : overview, ...troubles, stopped, ...usersText(done, style)].filter((part) => part !== "").join("");
}

/** Per load a table of users against policies; nothing for one user. */
function usersText(done: readonly ReturnType<typeof figuresOf>[], style: Style): string[] {
  return [...new Set(done.map(({ load }) => load))].map((load) => {
    const own = done.filter((each) => each.load === load);
    const users = [...new Set(own.flatMap((each) => each.users.map(({ name }) => name)))];
    if (users.length < 2) return "";
    const rows = own.map((each) => [
      each.policy,
      ...users.map((name) => {
        const user = each.users.find((one) => one.name === name);
        return user === undefined || user.requests === 0 ? "-" : user.attainment === null ? `${shareText(user.completion)} done` : shareText(user.attainment);
      }),
    ]);
    return `\n${style.bold(`In SLO by user, load ${load}`)}\n${textTable([{ title: "POLICY" }, ...users.map((title): Column => ({ title, align: "right" }))], rows, style.dim)}`;
  });
}
