// What has become of batches that are under way: how many of each are still to be placed, and how many each GPU was given. A fold of the
// records that concern their requests, so durable; only how long a batch has been held back is not. `batch-room.ts` judges by it.
import { assert } from "../../lib/assert.js";
import { hash32 } from "../../lib/random.js";
import type { BatchRef, RequestSpec } from "../model/request.js";

/** What a GPU has of a batch. */
export interface BatchShare {
  /** Requests that it was given and that are not back in line. */
  given: number;
  /** Of them, those that have not ended. */
  running: number;
}

export interface Batch {
  /** As many as came, if all were accepted. */
  readonly size: number;
  /** Requests that have not ended. */
  live: number;
  /** Requests that have. */
  ended: number;
  /** By GPU index. */
  readonly shares: Map<number, BatchShare>;
  /** Since when one of them waits for a GPU of the batch though another could take it, ms; 0 for none. Not durable. */
  heldSinceMs: number;
}

/** One batch as a snapshot keeps it. */
export interface StoredBatch {
  readonly id: string;
  readonly size: number;
  readonly live: number;
  readonly ended: number;
  /** GPU index, given, running. */
  readonly shares: readonly (readonly [gpu: number, given: number, running: number])[];
}

export class BatchBook {
  readonly #batches = new Map<string, Batch>();

  get empty(): boolean {
    return this.#batches.size === 0;
  }

  get(ref: BatchRef | undefined): Batch | undefined {
    return ref && this.#batches.get(ref.id);
  }

  accepted({ batch: ref }: RequestSpec): void {
    if (!ref) return;
    const known = this.get(ref);
    if (known) known.live += 1;
    else this.#batches.set(ref.id, { size: ref.size, live: 1, ended: 0, shares: new Map(), heldSinceMs: 0 });
  }

  placed({ batch: ref }: RequestSpec, gpus: readonly number[]): void {
    const batch = this.get(ref);
    if (!batch) return;
    for (const gpu of gpus) {
      const share = batch.shares.get(gpu);
      if (share) {
        share.given += 1;
        share.running += 1;
      } else {
        batch.shares.set(gpu, { given: 1, running: 1 });
      }
    }
  }

  /** An attempt is over and its request back in line. */
  backInLine({ batch: ref }: RequestSpec, gpus: readonly number[]): void {
    const batch = this.get(ref);
    if (!batch) return;
    for (const gpu of gpus) {
      const share = batch.shares.get(gpu);
      if (!share) continue;
      share.given -= 1;
      share.running -= 1;
      if (share.given === 0) batch.shares.delete(gpu);
    }
  }

  /** A request has ended: on `gpus`, or in line. */
  ended({ batch: ref }: RequestSpec, gpus: readonly number[]): void {
    const batch = this.get(ref);
    if (!ref || !batch) return;
    batch.live -= 1;
    batch.ended += 1;
    if (batch.live === 0) {
      this.#batches.delete(ref.id);
      return;
    }
    for (const gpu of gpus) {
      const share = batch.shares.get(gpu);
      if (share) share.running -= 1;
    }
  }

  /** One of a batch waits for a GPU of the batch though another could take it. */
  held(ref: BatchRef, nowMs: number): void {
    const batch = this.get(ref);
    if (batch && batch.heldSinceMs === 0) batch.heldSinceMs = nowMs;
  }

  /** A batch does not stand still for its own sake: one of it was placed as it should be, or there was no room anywhere. */
  moved(ref: BatchRef): void {
    const batch = this.get(ref);
    if (batch) batch.heldSinceMs = 0;
  }

  stored(): readonly StoredBatch[] {
    return [...this.#batches].map(([id, { size, live, ended, shares }]) => ({ id, size, live, ended, shares: [...shares].map(([gpu, { given, running }]) => [gpu, given, running] as const) }));
  }

  restore(batches: readonly StoredBatch[]): void {
    for (const { id, size, live, ended, shares } of batches) {
      this.#batches.set(id, { size, live, ended, shares: new Map(shares.map(([gpu, given, running]) => [gpu, { given, running }])), heldSinceMs: 0 });
    }
  }

  /** Of the durable part, 32 bits. */
  digest(): number {
    return hash32(JSON.stringify(this.stored()));
  }

  /** Throws unless the book counts what is there: of each batch its live requests, and where those of them are that are placed. */
  check(live: Iterable<{ readonly spec: RequestSpec; readonly gpus: readonly number[] }>): void {
    const counts = new Map<string, { live: number; readonly running: Map<number, number> }>();
    for (const { spec, gpus } of live) {
      if (!spec.batch) continue;
      const count = counts.get(spec.batch.id) ?? { live: 0, running: new Map<number, number>() };
      counts.set(spec.batch.id, count);
      count.live += 1;
      for (const gpu of gpus) count.running.set(gpu, (count.running.get(gpu) ?? 0) + 1);
    }
    assert(counts.size === this.#batches.size, "a batch is known as long as one of it lives");
    for (const [id, batch] of this.#batches) {
      const count = counts.get(id);
      assert(count?.live === batch.live, "the book counts what lives of a batch");
      for (const [gpu, { given, running }] of batch.shares) {
        assert((count.running.get(gpu) ?? 0) === running, "the book counts what runs of a batch on each GPU");
        assert(given >= running && given > 0, "a GPU was given what runs there");
        count.running.delete(gpu);
      }
      assert(count.running.size === 0, "a GPU that has one of a batch is known for it");
    }
  }
}
