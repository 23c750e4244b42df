// How far a long test is, on stderr: a bar for a person, a line for each tenth for a file.
import { settings } from "./settings.js";

const WIDTH = 30;

export class Progress {
  readonly #name: string;
  readonly #total: number;
  readonly #startedAt = performance.now();
  #done = 0;

  constructor(name: string, total: number) {
    this.#name = name;
    this.#total = total;
    this.#show("");
  }

  /** One more is done; `note` is what to look at, such as "0 lost". */
  step(note: string): void {
    this.#done += 1;
    this.#show(note);
  }

  #show(note: string): void {
    const share = this.#done / this.#total;
    const leftS = this.#done === 0 ? Number.NaN : (((performance.now() - this.#startedAt) / this.#done) * (this.#total - this.#done)) / 1000;
    const left = this.#done === this.#total ? `${((performance.now() - this.#startedAt) / 1000).toFixed(0)} s` : Number.isNaN(leftS) ? "" : `about ${leftS.toFixed(0)} s left`;
    const words = [`${this.#done}/${this.#total}`, note, left].filter((word) => word !== "").join(", ");
    if (settings.terminal) {
      const filled = Math.round(WIDTH * share);
      process.stderr.write(`\r\u001B[K${this.#name} [${"#".repeat(filled)}${".".repeat(WIDTH - filled)}] ${words}${this.#done === this.#total ? "\n" : ""}`);
    } else if (this.#done === this.#total || Math.floor(share * 10) > Math.floor(((this.#done - 1) / this.#total) * 10)) {
      process.stderr.write(`${this.#name}: ${words}\n`);
    }
  }
}
