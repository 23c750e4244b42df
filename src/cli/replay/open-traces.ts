// From files and options to the sources of a replay: format, users, priorities. Called by the command before anything is sent.
import path from "node:path";

import { fileFormat } from "../../sim/workload/formats/detect-format.js";
import { TraceError } from "../../sim/workload/trace-error.js";
import type { TraceSource } from "./schedule.js";

export interface UserOptions {
  /** Instead of the name of the file. */
  readonly user?: string;
  /** Users of each trace. */
  readonly users: number;
  /** Dealt out to the users of all traces in turn; none for the router's default. */
  readonly priority?: readonly number[];
}

/** The traces in their order. Rejects with a `TraceError` for a file that is none. */
export async function openTraces(files: readonly string[], { user, users, priority = [0] }: UserOptions): Promise<readonly TraceSource[]> {
  const sources: TraceSource[] = [];
  for (const [index, file] of files.entries()) {
    const priorities = Array.from({ length: users }, (_, place) => priority[(index * users + place) % priority.length] ?? 0);
    const format = await fileFormat(file);
    if (format.of === "jobs") throw new TraceError(`${file} is a trace of jobs (${format.name}), and replay sends requests in tokens: give it to \`simulate\`, in a scenario file`);
    sources.push({ path: file, format, tenant: user ?? tenantName(file), priorities });
  }
  return sources;
}

/** AzureLLMInferenceTrace_conv.csv.gz gives "AzureLLMInferenceTrace_conv"; bounded so that a number fits behind it in a user id. */
function tenantName(file: string): string {
  return path.basename(file).replace(/(\.(csv|jsonl?|txt|gz))+$/i, "").slice(0, 120) || "trace";
}
