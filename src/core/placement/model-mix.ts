// What an arrangement of models on GPUs is worth: a model of the fleet in which demand flows like a fluid to where it costs least. Pure: the
// placement asks what a change would do before it orders one.
//
// A GPU with busy share r has r / (1 - r) of its work in it on average (processor sharing): the sum over the fleet is what everybody
// waits for, in GPUs' worth of work. It falls when work moves to faster GPUs and when it is spread more evenly.

/** A GPU as the plan sees it. */
export interface MixHost {
  readonly models: Set<string>;
  /** Busy share that is not the models'. */
  readonly taken: number;
  /** The busy share that a model's whole demand would take here; Infinity where its promises cannot be kept: nothing flows there. */
  readonly cost: { get(modelId: string): number | undefined };
}

/** Differences of less, in GPUs' worth of work, are noise. */
export const NOISE = 0.25;
/** Above this busy share the sum goes on as a parabola: queues that grow without end are compared, too. */
const STEEP_FROM = 0.9;
const VALUE_THERE = STEEP_FROM / (1 - STEEP_FROM);
const SLOPE_THERE = 1 / (1 - STEEP_FROM) ** 2;
const CURVE_THERE = 2 / (1 - STEEP_FROM) ** 3;
/** Rounds in which each model's demand is spread anew beside the others'. */
const ROUNDS = 3;
const ROOT_THERE = 1 - STEEP_FROM;
/** A demand is handed out to so small a share of it; most of the time that takes three steps. */
const ENOUGH = 1e-6;
const MOST_STEPS = 30;
/** Each second's worth of demand for a model that lies nowhere counts like so much work, times its cost. */
const NOWHERE = 1_000;

/** What is in the system at a busy share. */
function content(busy: number): number {
  if (busy < STEEP_FROM) return busy / (1 - busy);
  const over = busy - STEEP_FROM;
  return VALUE_THERE + over * (SLOPE_THERE + (over * CURVE_THERE) / 2);
}

/** What one more costs at a busy share. */
function slopeAt(busy: number): number {
  return busy < STEEP_FROM ? 1 / (1 - busy) ** 2 : SLOPE_THERE + (busy - STEEP_FROM) * CURVE_THERE;
}

export class ModelMix {
  readonly #hosts: readonly MixHost[];
  readonly #busy: Float64Array;
  /** By model: what it takes of each host. */
  readonly #parts = new Map<string, Float64Array>();
  readonly #on = new Map<string, number[]>();
  readonly #trial: Float64Array;
  readonly #scratch: Float64Array;
  /** How many GPUs were looked at to spread a demand: the work that was done. */
  looks = 0;
  /** By model: what it costs on each host, and the root of that. */
  readonly #costs = new Map<string, { readonly costs: Float64Array; readonly roots: Float64Array }>();

  constructor(hosts: readonly MixHost[], models: readonly string[]) {
    this.#hosts = hosts;
    this.#busy = Float64Array.from(hosts, ({ taken }) => taken);
    this.#trial = new Float64Array(hosts.length);
    this.#scratch = new Float64Array(hosts.length);
    for (const model of models) {
      this.#parts.set(model, new Float64Array(hosts.length));
      this.#on.set(model, []);
    }
    hosts.forEach(({ models: held }, host) => {
      for (const model of held) if (this.#on.has(model) && this.#costsOf(model).costs[host] !== Number.POSITIVE_INFINITY) this.#on.get(model)!.push(host);
    });
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const model of models) {
        const parts = this.#parts.get(model)!;
        const on = this.#on.get(model)!;
        for (const host of on) this.#busy[host]! -= parts[host]!;
        this.#spread(model, on, this.#busy, parts);
        for (const host of on) this.#busy[host]! += parts[host]!;
      }
    }
  }

  /** What the fleet has in it, in GPUs' worth of work. */
  get content(): number {
    return this.#busy.reduce((sum, busy) => sum + content(busy), 0);
  }

  busyOf(host: number): number {
    return this.#busy[host]!;
  }

  /** What a model takes of a host. */
  part(model: string, host: number): number {
    return this.#parts.get(model)?.[host] ?? 0;
  }

  /** By how much the content of the fleet falls when `removed` leave a host and `added`, unless it is null, comes there; negative when it grows. */
  gain(host: number, removed: readonly string[], added: string | null): number {
    const trial = this.#trial;
    trial.set(this.#busy);
    const affected = added === null ? removed : [...removed, added];
    const lists = affected.map((model) => {
      const on = this.#on.get(model) ?? [];
      const parts = this.#parts.get(model);
      if (parts) for (const each of on) trial[each]! -= parts[each]!;
      return model === added ? [...on, host] : on.filter((each) => each !== host);
    });
    const touched = new Set<number>([host]);
    let nowhere = 0;
    affected.forEach((model, place) => {
      const on = lists[place]!;
      const before = this.#on.get(model) ?? [];
      for (const each of before) touched.add(each);
      nowhere += this.#nowhere(model, before) - this.#nowhere(model, on);
      this.#spread(model, on, trial, this.#scratch);
      for (const each of on) trial[each]! += this.#scratch[each]!;
    });
    let change = 0;
    for (const each of touched) change += content(this.#busy[each]!) - content(trial[each]!);
    return change + nowhere;
  }

  #nowhere(model: string, on: readonly number[]): number {
    if (on.length > 0) return 0;
    let cheapest = Number.POSITIVE_INFINITY;
    for (const { cost } of this.#hosts) cheapest = Math.min(cheapest, cost.get(model) ?? Number.POSITIVE_INFINITY);
    return cheapest === Number.POSITIVE_INFINITY ? 0 : cheapest * NOWHERE;
  }

  /** Writes into `parts` what a model takes of each host of `on` when it goes where it adds least, beside `busy`. Most of a plan is spent here. */
  #spread(model: string, on: readonly number[], busy: Float64Array, parts: Float64Array): void {
    const { length } = on;
    if (length === 0) return;
    this.looks += length;
    const { costs, roots } = this.#costsOf(model);
    let price = Number.POSITIVE_INFINITY;
    for (let place = 0; place < length; place += 1) {
      const host = on[place]!;
      const cost = costs[host]!;
      price = Math.min(price, cost * slopeAt(busy[host]! + cost));
    }
    if (price === 0) {
      for (const host of on) parts[host] = 0;
      return;
    }
    // The price of one more is the same wherever the model goes: the one at which all of its demand has gone. At this one a single host would
    // take it all. What is placed is convex in 1 / sqrt(price), so that Newton's steps from here come down to it and never pass it.
    let thrift = 1 / Math.sqrt(price);
    let placed = 0;
    for (let step = 0; step < MOST_STEPS; step += 1) {
      placed = 0;
      let fall = 0;
      for (let place = 0; place < length; place += 1) {
        const host = on[place]!;
        let part = 0;
        // The busy share at which one more costs 1 / root^2.
        const root = roots[host]! * thrift;
        if (root < 1) {
          const slope = root > ROOT_THERE ? 0 : 1 / (root * root);
          const room = (slope === 0 ? 1 - root : STEEP_FROM + (slope - SLOPE_THERE) / CURVE_THERE) - busy[host]!;
          if (room > 0) {
            part = room / costs[host]!;
            placed += part;
            fall += (slope === 0 ? root : (2 * slope) / CURVE_THERE) / costs[host]!;
          }
        }
        parts[host] = part;
      }
      if (placed <= 1 + ENOUGH || fall === 0) break;
      thrift *= 1 + (placed - 1) / fall;
    }
    for (let place = 0; place < length; place += 1) {
      const host = on[place]!;
      parts[host] = (parts[host]! / Math.max(placed, 1e-12)) * costs[host]!;
    }
  }

  #costsOf(model: string): { readonly costs: Float64Array; readonly roots: Float64Array } {
    let known = this.#costs.get(model);
    if (!known) {
      const costs = Float64Array.from(this.#hosts, ({ cost }) => cost.get(model) ?? 0);
      known = { costs, roots: costs.map(Math.sqrt) };
      this.#costs.set(model, known);
    }
    return known;
  }
}
