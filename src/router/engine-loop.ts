// The engine loop: the one writer. Stamps time, steps the engine, makes its records durable in groups, and only then
// releases effects and answers. While one commit runs, everything that comes is collected for the next; nothing lingers.
import { Engine } from "../core/engine.js";
import type { Effect, EndedRequest, Event, Step } from "../core/events.js";
import type { Record } from "../core/records.js";
import type { CoreSettings } from "../core/settings.js";
import { takeSnapshot } from "../core/snapshot.js";
import type { Journal } from "../journal/journal.js";
import type { OutboxEntry } from "../journal/outbox-table.js";
import type { Recorder } from "../recording/recorder.js";
import type { Clock } from "./clock.js";
import { History } from "./history.js";

/**
 * A snapshot is taken when a recovery would have to fold more than this, and much more than the snapshot would hold: its cost
 * grows with what is live, so it must stay a small share of the log.
 */
const SNAPSHOT_AFTER_BYTES = 64 * 1024 * 1024;
const SNAPSHOT_AFTER_SNAPSHOTS = 4;
/** What a live request takes in a snapshot beside its payload, roughly. */
const BYTES_PER_LIVE_REQUEST = 700;

/** Something that waits for the durability of all that was recorded before it. */
interface Release {
  readonly sequence: number;
  readonly run: () => void;
}

export interface EngineLoopOptions {
  readonly settings: CoreSettings;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Called with each effect right after its step: returns what to do once the step is durable; null for nothing. Must not throw. */
  readonly prepare: (effect: Effect) => (() => void) | null;
  /** Is given what callers are to be told, once it is durable. */
  readonly onCallbacks?: (entries: readonly OutboxEntry[]) => void;
  /** The journal refused a commit: memory is ahead of the disk, the process must end. */
  readonly onJournalFailure: (error: Error) => void;
  /** Is told everything that the engine is given, from its start on. */
  readonly recorder?: Pick<Recorder, "recovered" | "replayed" | "stepped"> | null;
}

export class EngineLoop {
  readonly engine: Engine;
  readonly history: History;
  readonly #options: EngineLoopOptions;
  #records: Record[] = [];
  #ended: EndedRequest[] = [];
  #callbacks: OutboxEntry[] = [];
  readonly #releases: Release[] = [];
  #recordedSequence: number;
  #durableSequence: number;
  #committing = false;
  #failed = false;
  #stopped: (() => void) | null = null;

  /** Recovers the state from the journal and takes over with the next epoch. */
  constructor(options: EngineLoopOptions) {
    this.#options = options;
    const { snapshot, records } = options.journal.recover();
    this.engine = new Engine(options.settings, snapshot);
    options.recorder?.recovered(snapshot);
    for (const record of records) {
      this.engine.replay(record);
      options.recorder?.replayed(record);
    }
    this.history = new History(options.journal);
    this.#recordedSequence = options.journal.nextSequence - 1;
    this.#durableSequence = this.#recordedSequence;
    this.step({ kind: "take_over", epoch: this.engine.state.epoch + 1 });
  }

  get epoch(): number {
    return this.engine.state.epoch;
  }

  /** Steps the engine now. Its effects follow when its records are durable. */
  step(event: Event): Step {
    const nowMs = this.#options.clock.now();
    const step = this.engine.step(event, nowMs);
    this.#options.recorder?.stepped(event, nowMs, step.records);
    for (const record of step.records) this.#records.push(record);
    for (const ended of step.ended) {
      this.#ended.push(ended);
      this.history.add(ended);
    }
    for (const told of step.callbacks) this.#callbacks.push(this.#options.journal.outbox.stamp(told));
    this.#recordedSequence += step.records.length;
    for (const effect of step.effects) {
      const action = this.#options.prepare(effect);
      if (action) this.#whenDurable(action);
    }
    if (step.records.length > 0) this.#wake();
    return step;
  }

  /** Resolves when everything that was recorded before the call is durable. Never resolves after a journal failure. */
  durable(): Promise<void> {
    return this.onceDurable(undefined);
  }

  /** Resolves to `value` when everything that was recorded before the call is durable: one promise, where each counts. */
  onceDurable<T>(value: T): Promise<T> {
    return new Promise((resolve) => this.#whenDurable(() => resolve(value)));
  }

  /** Resolves when nothing is left to commit and a snapshot has been written, so that the next start is quick; or when the journal has failed. */
  async stop(): Promise<void> {
    if (!this.#failed && (this.#committing || this.#records.length > 0)) {
      await new Promise<void>((resolve) => {
        this.#stopped = resolve;
      });
    }
    if (this.#failed || this.#options.journal.bytesSinceSnapshot === 0) return;
    // What is stepped from here on is not committed beside it, and never was: nobody is told of it.
    this.#committing = true;
    await this.#append([], [], [], true).catch((error: unknown) => this.#fail(error));
  }

  #whenDurable(run: () => void): void {
    if (this.#durableSequence >= this.#recordedSequence && this.#releases.length === 0) run();
    else this.#releases.push({ sequence: this.#recordedSequence, run });
  }

  #wake(): void {
    if (this.#committing || this.#failed) return;
    this.#committing = true;
    // After this turn of the event loop, so that all requests that were read together are committed together.
    setImmediate(() => void this.#commit());
  }

  async #commit(): Promise<void> {
    while (this.#records.length > 0) {
      const records = this.#records;
      const ended = this.#ended;
      this.#records = [];
      const callbacks = this.#callbacks;
      this.#ended = [];
      this.#callbacks = [];
      try {
        await this.#append(records, ended, callbacks, this.#snapshotDue());
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#durableSequence += records.length;
      this.history.durable(ended);
      this.#release();
      if (callbacks.length > 0) this.#options.onCallbacks?.(callbacks);
    }
    this.#committing = false;
    this.#stopped?.();
  }

  #fail(error: unknown): void {
    this.#failed = true;
    this.#options.onJournalFailure(error instanceof Error ? error : new Error(String(error)));
    this.#stopped?.();
  }

  #snapshotDue(): boolean {
    const { bytesSinceSnapshot, snapshotBytes } = this.#options.journal;
    const { requests, queue } = this.engine.state;
    const expectedBytes = Math.max(snapshotBytes, requests.size * BYTES_PER_LIVE_REQUEST + queue.counts.bytes);
    return bytesSinceSnapshot > Math.max(SNAPSHOT_AFTER_BYTES, SNAPSHOT_AFTER_SNAPSHOTS * expectedBytes);
  }

  #append(records: readonly Record[], ended: readonly EndedRequest[], callbacks: readonly OutboxEntry[], withSnapshot: boolean): Promise<void> {
    const snapshot = withSnapshot ? takeSnapshot(this.engine.state) : null;
    return this.#options.journal.append({ firstSequence: this.#durableSequence + 1, records, ended, callbacks, snapshot });
  }

  #release(): void {
    let count = 0;
    while (count < this.#releases.length && this.#releases[count]!.sequence <= this.#durableSequence) {
      this.#releases[count]!.run();
      count += 1;
    }
    this.#releases.splice(0, count);
  }
}
