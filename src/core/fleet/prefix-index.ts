// Which GPU has lately read which blocks of prompts for which model: where a prompt's beginning may still lie in a key-value cache. Written
// by the state when requests are placed and by the fleet when caches are lost, read by the prediction and the scorers of prefix affinity. A
// guess: what engines evict, they do not tell. Not durable.

/** Tokens of a block where it cannot be smaller. */
const BLOCK_TOKENS = 512;
/** (block, GPU) pairs of one generation; about 25 MB when every block is known to one GPU only. */
const MAX_PAIRS = 262_144;
/** A block that this many GPUs have read is common: where it lies no longer tells them apart, and nobody counts it. */
const COMMON_FROM = 64;
const COMMON: readonly number[] = [];
const FIRST_CAPACITY = 64;
/** A reading is one number: how many there were before it, times this, and its GPU. */
const GPUS = 2 ** 16;

/** By block: its last reading by each GPU. */
type Blocks = Map<number, number[] | typeof COMMON>;

/** What was read in some time, by model: the same text is another thing to another model. */
interface Generation {
  readonly models: Map<string, Blocks>;
  /** Readings before it. */
  readonly since: number;
}

/** Tokens of each of a prompt's blocks: who sends more of them than blocks of 512 tokens would be has cut all of it into smaller ones. */
export function blockTokens(inputTokens: number, blocks: number): number {
  return blocks > Math.ceil(inputTokens / BLOCK_TOKENS) && inputTokens > 0 ? inputTokens / blocks : BLOCK_TOKENS;
}

export class PrefixIndex {
  // Two generations instead of a list in order of use: when the young one is full it becomes the old one, and the old one is gone.
  // What is used is in the young one again.
  #young: Generation = { models: new Map(), since: 0 };
  #old: Generation = { models: new Map(), since: 0 };
  #pairs = 0;
  #readings = 0;
  /** By model, then GPU: how many readings there were when its cache was lost. Those that no generation reaches back to are dropped. */
  readonly #lost = new Map<string, Map<number, number>>();
  readonly #maxPairs: number;
  // The answer to the last question; most are asked several times.
  #lengths = new Int32Array(FIRST_CAPACITY);
  readonly #touched: number[] = [];
  #asked: readonly number[] | null = null;
  #askedOf = "";

  constructor(maxPairs = MAX_PAIRS) {
    this.#maxPairs = maxPairs;
  }

  /** A GPU is going to read a prompt of these blocks for a model, given as chained hashes. */
  placed(gpu: number, modelId: string, blocks: readonly number[]): void {
    if (blocks.length === 0) return;
    if (gpu >= this.#lengths.length) this.#lengths = new Int32Array(2 ** Math.ceil(Math.log2(gpu + 1)));
    this.#readings += 1;
    let ofModel = this.#young.models.get(modelId);
    if (!ofModel) {
      ofModel = new Map();
      this.#young.models.set(modelId, ofModel);
    }
    for (const block of blocks) this.#add(ofModel, block, gpu);
    this.#asked = null;
    if (this.#pairs >= this.#maxPairs) this.#turn();
  }

  /** A GPU's caches are empty again: that of one model, or of all. O(models). */
  forget(gpu: number, modelId: string | null = null): void {
    this.#asked = null;
    for (const each of modelId === null ? new Set([...this.#young.models.keys(), ...this.#old.models.keys()]) : [modelId]) {
      if (!this.#young.models.has(each) && !this.#old.models.has(each)) continue;
      const ofModel = this.#lost.get(each);
      if (ofModel) ofModel.set(gpu, this.#readings);
      else this.#lost.set(each, new Map([[gpu, this.#readings]]));
    }
  }

  /**
   * By GPU, how many of a prompt's first blocks it has read for a model beyond those that are common; valid until the next call. GPUs
   * beyond its end have none. At most 64 GPUs are looked at per block and generation.
   */
  lengths(modelId: string, blocks: readonly number[]): Int32Array {
    if (blocks === this.#asked && modelId === this.#askedOf) return this.#lengths;
    for (const gpu of this.#touched) this.#lengths[gpu] = 0;
    this.#touched.length = 0;
    this.#asked = blocks;
    this.#askedOf = modelId;
    const young = this.#young.models.get(modelId);
    const old = this.#old.models.get(modelId);
    const lost = this.#lost.get(modelId);
    let known = 0;
    let common = 0;
    for (; known < blocks.length; known += 1) {
      const [lately, before] = [young?.get(blocks[known]!), old?.get(blocks[known]!)];
      if (!lately && !before) break;
      if (lately === COMMON || before === COMMON) common = known + 1;
    }
    // Hashes are chained, so who has read a block has read those before it: the longest match is found first.
    for (let place = known - 1; place >= common; place -= 1) {
      this.#reach(young?.get(blocks[place]!), lost, place + 1 - common);
      this.#reach(old?.get(blocks[place]!), lost, place + 1 - common);
    }
    return this.#lengths;
  }

  /** How many of a prompt's first blocks have lately been read for a model, wherever that was. */
  longest(modelId: string, blocks: readonly number[]): number {
    const young = this.#young.models.get(modelId);
    const old = this.#old.models.get(modelId);
    const unread = blocks.findIndex((block) => !young?.has(block) && !old?.has(block));
    return unread < 0 ? blocks.length : unread;
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = { models: new Map(), since: this.#readings };
    this.#pairs = 0;
    for (const [modelId, ofModel] of this.#lost) {
      for (const [gpu, readings] of ofModel) if (readings <= this.#old.since) ofModel.delete(gpu);
      if (ofModel.size === 0) this.#lost.delete(modelId);
    }
  }

  #add(ofModel: Blocks, block: number, gpu: number): void {
    const reading = this.#readings * GPUS + gpu;
    const holders = ofModel.get(block);
    if (holders === COMMON) return;
    const place = holders?.findIndex((each) => each % GPUS === gpu) ?? -1;
    if (holders && place >= 0) {
      (holders as number[])[place] = reading;
      return;
    }
    this.#pairs += 1;
    if (!holders) ofModel.set(block, [reading]);
    else if (holders.length + 1 < COMMON_FROM) (holders as number[]).push(reading);
    else ofModel.set(block, COMMON);
  }

  #reach(holders: readonly number[] | undefined, lost: ReadonlyMap<number, number> | undefined, length: number): void {
    if (!holders) return;
    for (const reading of holders) {
      const gpu = reading % GPUS;
      if (this.#lengths[gpu] !== 0) continue;
      if (lost && Math.floor(reading / GPUS) <= (lost.get(gpu) ?? -1)) continue;
      this.#lengths[gpu] = length;
      this.#touched.push(gpu);
    }
  }
}
