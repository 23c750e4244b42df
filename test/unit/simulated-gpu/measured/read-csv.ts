import { existsSync, readFileSync } from "node:fs";

/** The published measurements; beside the repository, never in it. */
const TRACES = "../shared/traces";

export const MISSING_TRACES = ["aiconfigurator-silicon", "llmservingsim-vllm", "splitwise-perf", "gavel-throughputs"].filter((name) => !existsSync(`${TRACES}/${name}`));

export function readTrace(path: string): string {
  return readFileSync(`${TRACES}/${path}`, "utf8");
}

/** Rows by column name. No field of these files has a comma in it. */
export function readCsv(path: string): Readonly<Record<string, string>>[] {
  const [header = "", ...lines] = readTrace(path).trim().split("\n");
  const names = header.trim().split(",");
  return lines.map((line) => Object.fromEntries(line.trim().split(",").map((value, index) => [names[index] ?? "", value])));
}
