// A scheduling decision as tables: what each filter removed and would have needed, and how each candidate scored.
import type { Candidate, Decision, ResourceEstimate } from "../../gen/gpurouter/v1/decision_pb.js";
import type { ExplainResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { countText, durationText, printable } from "./quantity-text.js";
import type { Style } from "./style.js";
import { textTable } from "./text-table.js";

/** Everything that Explain says, for people. */
export function decisionText({ decision, dryRun, summary }: ExplainResponse, style: Style): string {
  const head = `${style.bold(printable(summary))}${dryRun ? style.dim(" (dry run: nothing was placed)") : ""}\n`;
  return decision === undefined ? head : [head, filterTable(decision, style), candidateTable(decision, style), footer(decision, style)].filter(Boolean).join("\n");
}

function filterTable(decision: Decision, style: Style): string {
  const passed = decision.filters.reduce((left, filter) => left - filter.removed, decision.considered);
  const counts = `${countText(decision.considered)} GPUs considered, ${countText(passed)} passed every filter\n`;
  if (decision.filters.length === 0) return counts;
  const rows = decision.filters.map((filter) => [printable(filter.filter), `-${countText(filter.removed)}`, printable(filter.needed)]);
  return counts + textTable([{ title: "FILTER" }, { title: "REMOVED", align: "right" }, { title: "NEEDED" }], rows, style.bold);
}

/**
 * One column per scorer, each cell value x weight; the terms of all candidates come in one order. Where all are costs, so is what is
 * shown as their sum: less is better then.
 */
function candidateTable({ candidates }: Decision, style: Style): string {
  if (candidates.length === 0) return "";
  const scorers = Array.from(new Set(candidates.flatMap((candidate) => candidate.terms.map((term) => term.scorer))));
  const terms = candidates.flatMap((candidate) => candidate.terms);
  const costs = terms.length > 0 && terms.every(({ weight }) => weight < 0);
  const inSeconds = costs && scorers.every(isInSeconds);
  const columns = [
    { title: "CANDIDATE" },
    { title: costs ? "COST" : "SCORE", align: "right" },
    ...scorers.map((scorer) => ({ title: printable(scorer).toUpperCase(), align: "right" }) as const),
    { title: "TELEMETRY", align: "right" },
  ] as const;
  const rows = candidates.map((candidate, index) => {
    const id = printable(candidate.gpuId);
    return [
      index === 0 ? style.green(id) : id,
      costs ? costText(-candidate.score, inSeconds) : candidate.score.toFixed(3),
      ...scorers.map((scorer) => termText(candidate, scorer)),
      candidate.telemetryAgeMs === undefined ? "none" : `${durationText(Number(candidate.telemetryAgeMs))} old`,
    ];
  });
  return textTable(columns, rows, style.bold);
}

function termText(candidate: Candidate, scorer: string): string {
  const term = candidate.terms.find((each) => each.scorer === scorer);
  if (term === undefined) return "-";
  const { value, weight } = term;
  if (weight >= 0) return `${value.toFixed(2)} x ${weight.toFixed(2)} = ${(value * weight).toFixed(3)}`;
  const cost = costText(value, isInSeconds(scorer));
  return weight === -1 ? cost : `${cost} x ${(-weight).toFixed(2)} = ${costText(-value * weight, isInSeconds(scorer))}`;
}

/** As the contract has it. */
function isInSeconds(scorer: string): boolean {
  return scorer.endsWith("_seconds");
}

/** A cost, or, below 0, a gain. */
function costText(cost: number, inSeconds: boolean): string {
  return inSeconds ? `${cost < 0 ? "-" : ""}${durationText(Math.abs(cost) * 1000)}` : cost.toFixed(3);
}

function footer({ strategy, seed, estimate }: Decision, style: Style): string {
  const expected =
    estimate === undefined
      ? ""
      : `; expects ${countText(estimate.memoryMib)} MiB${tokensText(estimate)} and ${timeText(estimate)}`;
  return style.dim(`strategy ${printable(strategy)}, tie-break seed ${seed}${expected}`) + "\n";
}

function tokensText({ inputTokens, outputTokens }: ResourceEstimate): string {
  return inputTokens + outputTokens === 0 ? "" : `, ${countText(inputTokens)} + ${countText(outputTokens)} tokens`;
}

/** Of work in tokens of which nothing was learned, and that is not predicted, no time is known. */
function timeText({ inputTokens, outputTokens, durationMs, durationP90Ms, source }: ResourceEstimate): string {
  if (source === "default" && inputTokens + outputTokens > 0) return "a time that is not known yet";
  return `${durationText(Number(durationMs))} on the GPU${longText(durationP90Ms)} (source: ${printable(source)})`;
}

function longText(p90Ms: bigint): string {
  return p90Ms === 0n ? "" : `, at most ${durationText(Number(p90Ms))} nine times out of ten`;
}
