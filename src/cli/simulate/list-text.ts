// `simulate --list`: what there is to simulate.
import { plannedGpus } from "../../sim/fleets.js";
import { GROUP_NAMES, PIECES, strategyNames } from "../../sim/policies.js";
import { SCENARIOS } from "../../sim/scenarios.js";
import { isSynthetic } from "../../sim/workload/sources.js";
import { GPU_KIND_NAMES, GPU_KINDS } from "../../simulated-gpu/gpu-kinds.js";
import { countText } from "../quantity-text.js";
import type { Style } from "../style.js";
import { textTable } from "../text-table.js";

/** Scenarios, policies, kinds of GPU. */
export function listText(style: Style): string {
  const scenarios = textTable(
    [{ title: "SCENARIO" }, { title: "GPUS", align: "right" }, { title: "TRACES" }, { title: "WHAT" }],
    SCENARIOS.map(({ name, title, fleet, parts }) => [
      name,
      String(plannedGpus(fleet)),
      parts.every(({ source }) => isSynthetic(source)) ? "none" : [...new Set(parts.map(({ source }) => source))].join(", "),
      title,
    ]),
    style.dim,
  );
  const kinds = textTable(
    [{ title: "KIND" }, { title: "MEMORY MIB", align: "right" }, { title: "GB/S", align: "right" }, { title: "TFLOPS", align: "right" }],
    GPU_KIND_NAMES.map((kind) => [kind, countText(GPU_KINDS[kind].memoryTotalMib), countText(GPU_KINDS[kind].gigabytesPerSecond), countText(GPU_KINDS[kind].tflops)]),
    style.dim,
  );
  const policies = [
    `Policies: ${strategyNames().join(", ")}`,
    "          NAME@1/4 keeps a quarter of the GPUs for work without an SLO, and that work to it",
    `          hybrid-PIECE is hybrid without one of ${Object.keys(PIECES).join(", ")}`,
    `Groups:   ${GROUP_NAMES.join(", ")}`,
  ];
  return `${scenarios}\n${policies.join("\n")}\n\n${kinds}`;
}
