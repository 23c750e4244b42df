// Which GPU has lately read which blocks of prompts: where a prompt's beginning may still lie in a key-value cache. Written by the state
// when requests are placed, read by the scorers of prefix affinity. A guess: what engines evict, they do not tell. Not durable.

/** Tokens of a block. */
export const BLOCK_TOKENS = 512;
/** (block, GPU) pairs of one generation; about 25 MB when every block is known to one GPU only. */
const MAX_PAIRS = 262_144;
/** A block that this many GPUs have read is common: where it lies no longer tells them apart, and nobody counts it. */
const COMMON_FROM = 64;
const COMMON: readonly number[] = [];
const FIRST_CAPACITY = 64;

type Generation = Map<number, number[] | typeof COMMON>;

export class PrefixIndex {
  // Two generations instead of a list in order of use: when the young one is full it becomes the old one, and the old one is gone.
  // What is used is in the young one again.
  #young: Generation = new Map();
  #old: Generation = new Map();
  #pairs = 0;
  readonly #maxPairs: number;
  // The answer to the last question; most are asked several times.
  #lengths = new Int32Array(FIRST_CAPACITY);
  readonly #touched: number[] = [];
  #asked: readonly number[] | null = null;

  constructor(maxPairs = MAX_PAIRS) {
    this.#maxPairs = maxPairs;
  }

  /** A GPU is going to read a prompt of these blocks, given as chained hashes. */
  placed(gpu: number, blocks: readonly number[]): void {
    if (blocks.length === 0) return;
    if (gpu >= this.#lengths.length) this.#lengths = new Int32Array(2 ** Math.ceil(Math.log2(gpu + 1)));
    for (const block of blocks) this.#add(block, gpu);
    this.#asked = null;
    if (this.#pairs < this.#maxPairs) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#pairs = 0;
  }

  /**
   * By GPU, how many of a prompt's first blocks it has read beyond those that are common; valid until the next call. GPUs beyond its end
   * have none. At most 64 GPUs are looked at per block and generation.
   */
  lengths(blocks: readonly number[]): Int32Array {
    if (blocks === this.#asked) return this.#lengths;
    for (const gpu of this.#touched) this.#lengths[gpu] = 0;
    this.#touched.length = 0;
    this.#asked = blocks;
    let known = 0;
    let common = 0;
    for (; known < blocks.length; known += 1) {
      const [young, old] = [this.#young.get(blocks[known]!), this.#old.get(blocks[known]!)];
      if (!young && !old) break;
      if (young === COMMON || old === COMMON) common = known + 1;
    }
    // Hashes are chained, so who has read a block has read those before it: the longest match is found first.
    for (let place = known - 1; place >= common; place -= 1) {
      this.#reach(this.#young.get(blocks[place]!), place + 1 - common);
      this.#reach(this.#old.get(blocks[place]!), place + 1 - common);
    }
    return this.#lengths;
  }

  #add(block: number, gpu: number): void {
    const holders = this.#young.get(block);
    if (holders === COMMON || holders?.includes(gpu)) return;
    this.#pairs += 1;
    if (!holders) this.#young.set(block, [gpu]);
    else if (holders.length + 1 < COMMON_FROM) (holders as number[]).push(gpu);
    else this.#young.set(block, COMMON);
  }

  #reach(holders: readonly number[] | undefined, length: number): void {
    if (!holders) return;
    for (const gpu of holders) {
      if (this.#lengths[gpu] !== 0) continue;
      this.#lengths[gpu] = length;
      this.#touched.push(gpu);
    }
  }
}
