// What one attempt of a command has written so far: live output up to a bound, the tails that end up in its outcome, the times. Made by
// `exec.ts`, once per attempt.
import { emitOutput, NO_STATISTICS, unsuccessful, type Remains } from "../outcome.js";
import type { JobOutcome, JobSink, JobStatistics } from "../runner.js";
import { ProgressFilter } from "./progress-filter.js";
import { TailBuffer } from "./tail-buffer.js";

const STDERR_TAIL_BYTES = 2048;

export class AttemptOutput {
  readonly stdout: ProgressFilter;
  readonly #sink: JobSink;
  readonly #stdoutTail: TailBuffer;
  readonly #stderrTail = new TailBuffer(STDERR_TAIL_BYTES);
  readonly #maxLiveBytes: number;
  readonly #startedAt = performance.now();
  #liveBytesLeft: number;
  #firstOutputMs = 0;

  constructor(sink: JobSink, maxLiveBytes: number, maxTailBytes: number) {
    this.#sink = sink;
    this.#maxLiveBytes = maxLiveBytes;
    this.#liveBytesLeft = maxLiveBytes;
    this.#stdoutTail = new TailBuffer(maxTailBytes);
    this.stdout = new ProgressFilter({
      progress: (fraction, message) => sink.progress(fraction, message),
      output: (data) => {
        this.#stdoutTail.push(data);
        this.#live(data);
      },
    });
  }

  pushStderr(data: Buffer): void {
    this.#stderrTail.push(data);
    this.#live(data);
  }

  /** The end of what it said on stderr. */
  get stderrText(): string {
    return this.#stderrTail.bytes().toString("utf8").trim();
  }

  succeeded(result: Uint8Array, contentType: string): JobOutcome {
    return { outcome: "succeeded", result, contentType, statistics: this.#statistics() };
  }

  succeededWithTail(): JobOutcome {
    return this.succeeded(this.#stdoutTail.bytes(), "text/plain; charset=utf-8");
  }

  unsuccessful(outcome: Exclude<JobOutcome["outcome"], "succeeded">, code: string, what: string, how: Pick<Remains, "exitCode" | "fault"> = {}): JobOutcome {
    const said = this.stderrText;
    return unsuccessful(outcome, code, said === "" ? what : `${what} It said last: ${said}`, {
      result: this.#stdoutTail.bytes(),
      contentType: "text/plain; charset=utf-8",
      statistics: this.#statistics(),
      ...how,
    });
  }

  #live(data: Buffer): void {
    if (this.#firstOutputMs === 0) this.#firstOutputMs = performance.now() - this.#startedAt;
    if (this.#liveBytesLeft === 0) return;
    const shown = data.subarray(0, this.#liveBytesLeft);
    this.#liveBytesLeft -= shown.length;
    emitOutput(this.#sink, shown);
    if (this.#liveBytesLeft === 0) {
      emitOutput(this.#sink, Buffer.from(`\n[live output ends here: max_output_bytes (${this.#maxLiveBytes}) is used up; the command goes on]\n`));
    }
  }

  #statistics(): JobStatistics {
    return { ...NO_STATISTICS, runMs: performance.now() - this.#startedAt, firstOutputMs: this.#firstOutputMs };
  }
}
