// The newest live output of attempts, so that a watcher who comes a moment after Route still sees how it began.
// Bounded per request and in all: what is older goes, and shows as a gap in the offsets.
import type { AttemptRef, RequestId } from "../core/model/ids.js";

const MAX_BYTES_PER_REQUEST = 64 * 1024;
const MAX_BYTES = 8 * 1024 * 1024;
/** What each piece counts beside its bytes, so that many small ones are bounded too. */
const PIECE_OVERHEAD_BYTES = 64;

export interface OutputPiece {
  readonly attempt: number;
  readonly offset: number;
  readonly data: Uint8Array;
}

interface Kept {
  readonly attempt: number;
  readonly pieces: OutputPiece[];
  bytes: number;
}

export class RecentOutput {
  /** In the order in which their output began. */
  readonly #byRequest = new Map<RequestId, Kept>();
  #bytes = 0;

  add({ requestId, attempt }: AttemptRef, offset: number, data: Uint8Array): void {
    let kept = this.#byRequest.get(requestId);
    if (!kept || kept.attempt !== attempt) {
      this.forget(requestId);
      kept = { attempt, pieces: [], bytes: 0 };
      this.#byRequest.set(requestId, kept);
    }
    // A copy: the piece is a view of a whole message.
    kept.pieces.push({ attempt, offset, data: Uint8Array.from(data) });
    this.#grow(kept, data.byteLength + PIECE_OVERHEAD_BYTES);
    while (kept.bytes > MAX_BYTES_PER_REQUEST && kept.pieces.length > 1) this.#dropFirst(kept);
    for (const oldest of this.#byRequest.keys()) {
      if (this.#bytes <= MAX_BYTES || oldest === requestId) break;
      this.forget(oldest);
    }
  }

  /** Oldest first. */
  of(requestId: RequestId): readonly OutputPiece[] {
    return this.#byRequest.get(requestId)?.pieces ?? [];
  }

  #dropFirst(kept: Kept): void {
    const piece = kept.pieces.shift();
    if (piece) this.#grow(kept, -(piece.data.byteLength + PIECE_OVERHEAD_BYTES));
  }

  #grow(kept: Kept, bytes: number): void {
    kept.bytes += bytes;
    this.#bytes += bytes;
  }

  /** What it put out is void, or makes room. */
  forget(requestId: RequestId): void {
    const kept = this.#byRequest.get(requestId);
    if (!kept) return;
    this.#bytes -= kept.bytes;
    this.#byRequest.delete(requestId);
  }
}
