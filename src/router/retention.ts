// Forgets finished requests and their results once they are too old or too many.
import type { Logger } from "pino";
import type { RetentionLimits } from "../config/router-config.js";
import type { Journal } from "../journal/journal.js";
import type { Clock } from "./clock.js";

const RUN_MS = 1_000;
/** Most to drop in one run: more than a router can finish in that time. */
const MAX_PER_RUN = 20_000;

export class Retention {
  readonly #timer: NodeJS.Timeout;
  #running: Promise<unknown> = Promise.resolve();

  constructor(journal: Journal, clock: Clock, limits: RetentionLimits, log: Logger) {
    let busy = false;
    this.#timer = setInterval(() => {
      if (busy) return;
      busy = true;
      this.#running = journal
        .purge(clock.now() - limits.finishedForMs, limits.finishedAtMost, MAX_PER_RUN)
        .catch((error: unknown) => log.warn({ error: String(error) }, "cannot drop finished requests"))
        .finally(() => {
          busy = false;
        });
    }, RUN_MS);
    this.#timer.unref();
  }

  /** Resolves when no run is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }
}
