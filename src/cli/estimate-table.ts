// How near the router's estimates came, as a table for people; `gpus --estimates` prints it.
import type { EstimateAccuracy } from "../../gen/gpurouter/v1/router_pb.js";
import { countText, printable } from "./quantity-text.js";
import type { Style } from "./style.js";
import { textTable } from "./text-table.js";

const COLUMNS = [
  { title: "MODEL" },
  { title: "TYPE" },
  { title: "OUTCOMES", align: "right" },
  { title: "ERROR", align: "right" },
  { title: "TOOK/EXPECTED", align: "right" },
  { title: "WITHIN P90", align: "right" },
] as const;

/** One row per kind of work, in the order given. */
export function estimateTable(estimates: readonly EstimateAccuracy[], style: Style): string {
  if (estimates.length === 0) return "No estimates to judge: nothing has succeeded since the router started.\n";
  const rows = estimates.map((kind) => [
    printable(kind.modelId),
    printable(kind.type),
    countText(Number(kind.outcomes)),
    percent(kind.meanRelativeError),
    kind.meanRatio.toFixed(2),
    percent(kind.withinP90),
  ]);
  return textTable(COLUMNS, rows, style.bold);
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}
