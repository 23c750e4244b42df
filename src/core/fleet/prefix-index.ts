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

/** More GPUs than there will be: a holder is a GPU and how often it was forgotten before, in one number. */
const MAX_GPUS = 2 ** 20;

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
  /** How often each GPU was forgotten; 0 beyond its end. */
  readonly #lives: number[] = [];

  constructor(maxPairs = MAX_PAIRS) {
    this.#maxPairs = maxPairs;
  }

  /** A GPU is going to read a prompt of these blocks, given as chained hashes. */
  placed(gpu: number, blocks: readonly number[]): void {
    if (blocks.length === 0) return;
    if (gpu >= this.#lengths.length) this.#lengths = new Int32Array(2 ** Math.ceil(Math.log2(gpu + 1)));
    const holder = (this.#lives[gpu] ?? 0) * MAX_GPUS + gpu;
    for (const block of blocks) this.#add(block, holder);
    this.#asked = null;
    if (this.#pairs < this.#maxPairs) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#pairs = 0;
  }

  /** A GPU was reset, or has fallen off: its cache is gone. O(1); what it held loses its meaning where it lies. */
  forget(gpu: number): void {
    while (this.#lives.length <= gpu) this.#lives.push(0);
    this.#lives[gpu]! += 1;
    this.#asked = null;
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

  #add(block: number, holder: number): void {
    const holders = this.#young.get(block);
    if (holders === COMMON || holders?.includes(holder)) return;
    this.#pairs += 1;
    if (!holders) this.#young.set(block, [holder]);
    else if (holders.length + 1 < COMMON_FROM) (holders as number[]).push(holder);
    else this.#young.set(block, COMMON);
  }

  #reach(holders: readonly number[] | undefined, length: number): void {
    if (!holders) return;
    for (const holder of holders) {
      const gpu = holder % MAX_GPUS;
      if (this.#lengths[gpu] !== 0 || Math.floor(holder / MAX_GPUS) !== (this.#lives[gpu] ?? 0)) continue;
      this.#lengths[gpu] = length;
      this.#touched.push(gpu);
    }
  }
}
