// The comparison as Markdown: the table of what was promised, a line for each scenario with spread, batch and p99, the ablations.
import type { Comparison, PolicyGoodput } from "../../sim/comparison.js";
import { verdicts } from "../../sim/comparison-table.js";
import type { Figures } from "../../sim/figures.js";
import { durationText, shareText } from "../quantity-text.js";

const AGAINST = { least_loaded: "LEAST_LOADED, batch isolated", best_peer: "best peer", fleet: "" } as const;

/** At least one comparison; the first scenario is the one that the table is about. */
export function compareMarkdown(comparisons: readonly Comparison[]): string {
  const [first] = comparisons;
  if (!first) return "Nothing was compared.\n";
  const judged = verdicts(comparisons).map(({ what, against, wanted, measured, reached, scenario }) => [what, AGAINST[against], wanted, measured, reached === null ? "not measured" : reached ? "reached" : "**not reached**", scenario]);
  const lines = [
    `Simulated: ${first.seeds.length === 1 ? "one seed" : `${first.seeds.length} seeds pooled`}, ${durationText(first.durationMs)} of requests on ${first.scenario}. Goodput is the largest multiple of the load with 95 % of requests in their SLO, every user at least 90 %, batch work 90 % done. The best peer is the best of ten strategies in a shared pool and with an eighth or a quarter of the GPUs for batch work, sifted on other seeds.`,
    "",
    table(["", "against", "wanted", "measured", "", "scenario"], judged),
    "",
    table(
      ["scenario", "hybrid", "in SLO ± seeds", "worst user", "batch", "first p95 / p99", "busy", "LEAST_LOADED", "best peer", "which", "of the bound"],
      comparisons.map((each) => [
        each.scenario,
        String(each.hybrid.load),
        ...quality(each.hybrid.figures),
        versus(each, each.leastLoaded.rival),
        versus(each, each.bestPeer.rival),
        each.bestPeer.rival.policy,
        shareText(each.hybrid.load / each.fluidBound),
      ]),
    ),
    "",
    table(
      ["at the rival's goodput", "load", "policy", "mean", "first p95", "p99", "in SLO ± seeds", "batch"],
      comparisons.flatMap((each) => [each.leastLoaded, each.bestPeer].flatMap(({ rival, hybrid }) => (rival.figures === null || hybrid === null ? [] : [side(each, rival.figures), side(each, hybrid)]))),
    ),
  ];
  for (const each of comparisons.filter(({ gpusFor }) => gpusFor.length > 0)) {
    const head = [`GPUs for ${each.scenario}, in its mix`, "hybrid", each.leastLoaded.rival.policy, each.bestPeer.rival.policy];
    lines.push("", table(head, each.gpusFor.map(({ load, ...counted }) => [`load ${load}`, ...[counted.hybrid, counted.leastLoaded, counted.bestPeer].map((gpus) => (gpus === null ? "more than six times the fleet" : String(gpus)))])));
  }
  for (const each of comparisons.filter(({ ablations }) => ablations.length > 0)) {
    lines.push("", table([`${each.scenario} without`, "goodput", "of hybrid's", "in SLO ± seeds", "worst user", "batch", "first p95 / p99", "busy"], each.ablations.map((one) => [one.policy.replace("hybrid-", ""), String(one.load), shareText(one.load / Math.max(1e-9, each.hybrid.load)), ...quality(one.figures)])));
  }
  return `${lines.join("\n")}\n`;
}

/** One line for the terminal when a scenario is done. */
export function comparisonLine(comparison: Comparison): string {
  const { scenario, hybrid, leastLoaded, bestPeer, fluidBound } = comparison;
  return `${scenario}: hybrid ${hybrid.load}, least_loaded ${versus(comparison, leastLoaded.rival)}, best peer ${bestPeer.rival.policy} ${versus(comparison, bestPeer.rival)}, ${shareText(hybrid.load / fluidBound)} of the fluid bound\n`;
}

function versus({ hybrid }: Comparison, { load }: PolicyGoodput): string {
  return load === 0 ? "0" : `${load} (${(hybrid.load / load).toFixed(2)}x)`;
}

function quality(figures: Figures | null): string[] {
  if (figures === null) return ["-", "-", "-", "-", "-"];
  const { firstOutput, batchCompletion, worstUserAttainment } = figures;
  return [kept(figures), worstUserAttainment === null ? "-" : shareText(worstUserAttainment), batchCompletion === null ? "-" : shareText(batchCompletion), `${durationText(firstOutput.p95Ms)} / ${durationText(firstOutput.p99Ms)}`, shareText(figures.busyShare)];
}

function side(comparison: Comparison, figures: Figures): string[] {
  const { policy, load, response, firstOutput, batchCompletion } = figures;
  return [comparison.scenario, String(load), policy, durationText(response.meanMs), durationText(firstOutput.p95Ms), durationText(firstOutput.p99Ms), kept(figures), batchCompletion === null ? "-" : shareText(batchCompletion)];
}

function kept({ attainment, attainmentSpread }: Figures): string {
  return `${shareText(attainment)} ± ${shareText(attainmentSpread.deviation)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
