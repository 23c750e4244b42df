// How runners word the end of an attempt: outcomes built in one place, so that every runner fills every field.
// Called by the runners of this folder. Decides nothing.
import type { JobOutcome, JobSink, JobStatistics } from "./runner.js";

/** Largest piece of live output that the contract of a runner allows, bytes. */
const MAX_OUTPUT_PIECE_BYTES = 64 * 1024;

/** What a runner without figures reports. */
export const NO_STATISTICS: JobStatistics = { runMs: 0, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };

/** What of an unsuccessful end is not the same for all. */
export interface Remains {
  readonly exitCode?: number;
  readonly fault?: "gpu" | "none";
  /** Empty by default. */
  readonly result?: Uint8Array;
  /** "" by default. */
  readonly contentType?: string;
  readonly statistics?: JobStatistics;
}

/** The end of an attempt that did not succeed. `code` is stable and lower-case; `message` says what to do. */
export function unsuccessful(
  outcome: Exclude<JobOutcome["outcome"], "succeeded">,
  code: string,
  message: string,
  remains: Remains = {},
): JobOutcome {
  return { result: new Uint8Array(), contentType: "", statistics: NO_STATISTICS, ...remains, outcome, code, message };
}

/** Hands `data` to the sink in pieces of at most 64 KiB; nothing for no data. */
export function emitOutput(sink: JobSink, data: Uint8Array): void {
  for (let from = 0; from < data.length; from += MAX_OUTPUT_PIECE_BYTES) {
    sink.output(data.subarray(from, from + MAX_OUTPUT_PIECE_BYTES));
  }
}

/** At most `maxChars` of `text`, with an ellipsis where it was cut. */
export function clip(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
}
