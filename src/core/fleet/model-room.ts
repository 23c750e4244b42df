// What the GPUs that serve a model could do beyond what is asked of it: so many of them may be taken from it by work in the background that
// wants whole GPUs. Written by the placement once a second, less with each GPU that is taken; read by the filter `model_room`. Not durable.

/** What a GPU could do of a model's demand if it did nothing else, as a share of that. */
export interface Worth {
  readonly modelId: string;
  readonly share: number;
}

export interface Beyond {
  /** By model that somebody waits for: what its GPUs could do beyond its demand, as a share of that; below 0 when they are short. */
  readonly beyond: Map<string, number>;
  /** By GPU that serves such models. */
  readonly worths: ReadonlyMap<number, readonly Worth[]>;
}

const NOTHING: readonly Worth[] = [];

export class ModelRoom {
  #beyond: Beyond["beyond"] = new Map();
  #worths: Beyond["worths"] = new Map();

  write({ beyond, worths }: Beyond): void {
    this.#beyond = beyond;
    this.#worths = worths;
  }

  /** Somebody has the GPU to himself from now on. */
  take(gpu: number): void {
    for (const { modelId, share } of this.#worthsOf(gpu)) this.#beyond.set(modelId, this.#beyond.get(modelId)! - share);
  }

  /** How many GPUs such as this one its models lack when `gpus` of them are taken; 0 or below when they can do without. */
  lacking(gpu: number, gpus: number): number {
    let most = Number.NEGATIVE_INFINITY;
    for (const { modelId, share } of this.#worthsOf(gpu)) most = Math.max(most, gpus - this.#beyond.get(modelId)! / share);
    return most;
  }

  #worthsOf(gpu: number): readonly Worth[] {
    return this.#worths.get(gpu) ?? NOTHING;
  }
}
