// Which prompt blocks a GPU still holds from earlier requests: a least-recently-used set of block hashes.
// The caller asks before it adds a request to the batching engine (`cachedTokens`) and inserts what the request has read. The blocks
// here cost no room in the engine's cache: as in real engines they are what is left in free blocks.

export interface PrefixCacheOptions {
  /** Tokens that all blocks together may have. */
  readonly capacityTokens: number;
  /** 512 when left out. */
  readonly blockTokens?: number;
}

/** Hashes are chained, each covers all blocks before it, so equal hashes mean equal prompts up to there. */
export class PrefixCache {
  readonly #blockTokens: number;
  #capacityBlocks: number;
  /** Least recently used first: a Set keeps the order of insertion. */
  readonly #blocks = new Set<number>();

  constructor({ capacityTokens, blockTokens = 512 }: PrefixCacheOptions) {
    this.#blockTokens = blockTokens;
    this.#capacityBlocks = Math.max(0, Math.floor(capacityTokens / blockTokens));
  }

  get tokens(): number {
    return this.#blocks.size * this.#blockTokens;
  }

  /** Tokens of the blocks found at the front of a prompt, which become the most recently used. */
  match(hashes: readonly number[]): number {
    let found = 0;
    while (found < hashes.length && this.#blocks.has(hashes[found]!)) found += 1;
    this.#use(hashes, found);
    return found * this.#blockTokens;
  }

  /** Holds the blocks of a prompt, as far as there is room: the front of it first. */
  insert(hashes: readonly number[]): void {
    this.#use(hashes, Math.min(hashes.length, this.#capacityBlocks));
    this.#evict();
  }

  /** Changes the room, such as when a model took part of the memory. */
  resize(capacityTokens: number): void {
    this.#capacityBlocks = Math.max(0, Math.floor(capacityTokens / this.#blockTokens));
    this.#evict();
  }

  /** The deepest first, so that it is also evicted first: a block is worth nothing without those before it. */
  #use(hashes: readonly number[], count: number): void {
    for (let index = count - 1; index >= 0; index -= 1) {
      const hash = hashes[index]!;
      this.#blocks.delete(hash);
      this.#blocks.add(hash);
    }
  }

  #evict(): void {
    for (const hash of this.#blocks) {
      if (this.#blocks.size <= this.#capacityBlocks) return;
      this.#blocks.delete(hash);
    }
  }
}
