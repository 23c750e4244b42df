// The shared traces, beside the repository. Not everybody has them.
import { existsSync } from "node:fs";
import path from "node:path";

export const CAPTURES = path.resolve("../shared/traces/nvidia-smi-captures");
export const NVML_FACTS = path.resolve("../shared/traces/nvml");
export const XIDS = path.resolve("../shared/traces/xid");

export const hasCaptures = existsSync(CAPTURES);
export const hasNvmlFacts = existsSync(NVML_FACTS);
export const hasXids = existsSync(XIDS);
export const MISSING_TRACES = "the traces in ../shared/traces";

/** Rows of a CSV without quotes in the first columns, without its header. */
export function rowsOf(csv: string): readonly (readonly string[])[] {
  return csv.trim().split("\n").slice(1).map((line) => line.split(","));
}
