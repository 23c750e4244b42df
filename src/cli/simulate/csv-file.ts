// One line per simulated request, of every run, in the order of policies, loads and seeds as they come. Written as the runs are done.
import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";

import { OUTCOMES, type SimulatedRun } from "../../sim/result.js";
import { CliFailure } from "../failure.js";
import { write } from "../terminal.js";

const HEADING = "policy,load,seed,request,user,model,type,priority,arrived_ms,placed_ms,first_output_ms,ended_ms,outcome,in_slo,attempts,gpu,input_tokens,cached_tokens,output_tokens";
const ROWS_AT_ONCE = 2000;

export class CsvFile {
  readonly #stream: WriteStream;
  /** One run at a time. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** Rejects with a failure when the file cannot be written. */
  static async open(file: string): Promise<CsvFile> {
    const stream = createWriteStream(file);
    await new Promise<void>((resolve, reject) => {
      stream.once("open", () => resolve());
      stream.once("error", (error) => reject(new CliFailure(`cannot write ${file}: ${error.message}`)));
    });
    await write(stream, `${HEADING}\n`);
    return new CsvFile(stream);
  }

  add(run: SimulatedRun): Promise<void> {
    this.#turn = this.#turn.then(() => this.#write(run));
    return this.#turn;
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#stream.end();
    await finished(this.#stream);
  }

  async #write(run: SimulatedRun): Promise<void> {
    const { requests, tenants, gpus } = run;
    const head = `${field(run.policy)},${run.load},${run.seed}`;
    for (let from = 0; from < requests.count; from += ROWS_AT_ONCE) {
      const lines: string[] = [];
      for (let row = from; row < Math.min(requests.count, from + ROWS_AT_ONCE); row += 1) {
        const tenant = tenants[requests.tenant[row] ?? 0];
        const gpu = requests.gpu[row] ?? -1;
        const cells = [
          head,
          row,
          field(tenant?.name ?? ""),
          field(tenant?.modelId ?? ""),
          tenant?.type,
          tenant?.priority,
          ...[requests.arrivedAtMs, requests.placedAtMs, requests.firstOutputAtMs, requests.endedAtMs].map((column) => time(column[row])),
          OUTCOMES[requests.outcome[row] ?? 0],
          tenant?.slo === null ? "" : requests.inSlo[row],
          requests.attempts[row],
          gpu < 0 ? "" : gpus[gpu]?.gpuId,
          requests.inputTokens[row],
          requests.cachedTokens[row],
          requests.outputTokens[row],
        ];
        lines.push(`${cells.join(",")}\n`);
      }
      await write(this.#stream, lines.join(""));
    }
  }
}

/** To the microsecond; empty for what did not happen. */
function time(ms: number | undefined): string {
  return ms === undefined || Number.isNaN(ms) ? "" : String(Math.round(ms * 1000) / 1000);
}

function field(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
