// GPUs that are kept for requests that need more than is free at once, whole or their room. Written by placement/reserver.ts, read by the
// filter `reserved`. Not durable: after a restart they are made again.
import type { RequestId } from "../model/ids.js";

export interface Reservation {
  readonly requestId: RequestId;
  /** Whose turn it is, as the queue's bands; what comes before it may use the GPUs all the same. */
  readonly band: number;
  readonly gpus: readonly number[];
  /** They are let run empty. Else one of them goes on with what comes as early in the line or before, and only what comes after is kept out. */
  readonly whole: boolean;
  /** When the last of them should be free, ms. Never moves back: else work that ends later than expected could fill them for ever. Where it is room that is kept: until when that helps. */
  readonly startAtMs: number;
}

export class Reservations {
  readonly #byRequest = new Map<RequestId, Reservation>();
  readonly #byGpu = new Map<number, Reservation>();
  #whole = 0;

  get size(): number {
    return this.#byRequest.size;
  }

  /** Whether any GPU is kept whole. */
  get hasWhole(): boolean {
    return this.#whole > 0;
  }

  all(): readonly Reservation[] {
    return [...this.#byRequest.values()];
  }

  of(requestId: RequestId): Reservation | undefined {
    return this.#byRequest.get(requestId);
  }

  at(gpu: number): Reservation | undefined {
    return this.#byGpu.get(gpu);
  }

  /** Its GPUs must be free of other reservations. */
  add(reservation: Reservation): void {
    this.#byRequest.set(reservation.requestId, reservation);
    if (reservation.whole) this.#whole += 1;
    for (const gpu of reservation.gpus) this.#byGpu.set(gpu, reservation);
  }

  remove({ requestId, gpus, whole }: Reservation): void {
    this.#byRequest.delete(requestId);
    if (whole) this.#whole -= 1;
    for (const gpu of gpus) this.#byGpu.delete(gpu);
  }
}
