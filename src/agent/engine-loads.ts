// What the engines behind the runners say of themselves, from the question to the message. Owned by `agent.ts`, which says when to
// ask and when to send. How an engine is asked is its runner's affair.
import type { RunnerLoad } from "../../gen/gpurouter/v1/agent_pb.js";
import { runnerLoadMessage } from "./agent-codec.js";
import type { EngineLoad, Runner } from "./runners/runner.js";

export class EngineLoads {
  readonly #runners: readonly Runner[];
  readonly #onNews: () => void;
  readonly #asked = new Set<Runner>();
  /** By runner. A newer answer takes the place of one that was not sent yet. */
  readonly #news = new Map<string, { readonly load: EngineLoad; readonly askedAtMs: number }>();

  /** `onNews` is called when there is something to take. */
  constructor(runners: readonly Runner[], onNews: () => void) {
    this.#runners = runners;
    this.#onNews = onNews;
  }

  get waiting(): boolean {
    return this.#news.size > 0;
  }

  /** Asks every engine that has answered its last question, each by itself: a slow one does not hold the others up. */
  ask(): void {
    for (const runner of this.#runners) if (!this.#asked.has(runner)) void this.#ask(runner);
  }

  /** All news as messages, with their age now. */
  take(): RunnerLoad[] {
    const now = performance.now();
    const messages = [...this.#news].map(([runner, { load, askedAtMs }]) => runnerLoadMessage(runner, load, now - askedAtMs));
    this.#news.clear();
    return messages;
  }

  /** Forgets what was not sent: it will be old when there is a stream again. */
  clear(): void {
    this.#news.clear();
  }

  async #ask(runner: Runner): Promise<void> {
    if (!runner.engineLoad) return;
    const askedAtMs = performance.now();
    this.#asked.add(runner);
    const load = await runner.engineLoad();
    this.#asked.delete(runner);
    if (!load) return;
    this.#news.set(runner.name, { load, askedAtMs });
    this.#onNews();
  }
}
