// Which prompt blocks a GPU still holds from earlier requests: a least-recently-used set of block hashes.
// The caller asks before it adds a request to the batching engine (`cachedTokens`) and inserts what the request has read. The blocks
// here cost no room in the engine's cache: as in real engines they are what is left in free blocks.

/** Tokens of a block of a prompt, as traces and routers count them. */
export const BLOCK_TOKENS = 512;
/** One space from the next: hashes have 32 bits. */
const SPACE = 2 ** 32;

/**
 * Hashes are chained, each covers all blocks before it, so equal hashes mean equal prompts up to there: within a space, a small integer
 * for each loading of a model.
 */
export class PrefixCache {
  readonly #capacityBlocks: number;
  /** Least recently used first: a Set keeps the order of insertion. */
  readonly #blocks = new Set<number>();

  /** `capacityTokens`: what all blocks together may have. */
  constructor(capacityTokens: number) {
    this.#capacityBlocks = Math.max(0, Math.floor(capacityTokens / BLOCK_TOKENS));
  }

  get tokens(): number {
    return this.#blocks.size * BLOCK_TOKENS;
  }

  /** Tokens of the blocks found at the front of a prompt, which become the most recently used. */
  match(hashes: readonly number[], space = 0): number {
    let found = 0;
    while (found < hashes.length && this.#blocks.has(space * SPACE + hashes[found]!)) found += 1;
    this.#use(hashes, space, found);
    return found * BLOCK_TOKENS;
  }

  /** Holds the blocks of a prompt, as far as there is room: the front of it first. */
  insert(hashes: readonly number[], space = 0): void {
    this.#use(hashes, space, Math.min(hashes.length, this.#capacityBlocks));
    this.#evict();
  }

  /** The deepest first, so that it is also evicted first: a block is worth nothing without those before it. */
  #use(hashes: readonly number[], space: number, count: number): void {
    for (let index = count - 1; index >= 0; index -= 1) {
      const block = space * SPACE + hashes[index]!;
      this.#blocks.delete(block);
      this.#blocks.add(block);
    }
  }

  #evict(): void {
    for (const hash of this.#blocks) {
      if (this.#blocks.size <= this.#capacityBlocks) return;
      this.#blocks.delete(hash);
    }
  }
}
