// The priority manager's queue (C2): who is next. Strict bands from priority; within a band the user with the least virtual
// time; within a user the earliest due, else the earliest accepted. What can no longer be in time waits in a band of its own.
// Requests that fit the same GPUs form a class: when the head of a class fits nowhere, the rest is not tried either, so a
// pass costs a decision per class and never per waiting request.
import { ChurnMap } from "../../lib/churn-map.js";
import { Heap } from "../../lib/heap.js";
import { RankSet } from "../../lib/rank-set.js";
import { LinkedList, type ListEntry } from "../../lib/linked-list.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { GpuId, RequestId } from "../model/ids.js";
import { wishesOf, type Priority, type RequestSpec } from "../model/request.js";
import { FairShare, type Share } from "./fair-share.js";

/** A request in line. `sequence` is its place in the order of acceptance and survives a retry. */
export interface Waiting {
  readonly spec: RequestSpec;
  readonly sequence: number;
  readonly acceptedAtMs: number;
  /** When it should have ended, ms; without a wish, far enough after its acceptance that those with one go first for a while only. */
  readonly dueAtMs: number;
  /** It cannot be in time any more. */
  readonly late: boolean;
  readonly estimate: ResourceEstimate;
  /** It wants its GPUs to itself. */
  readonly exclusive: boolean;
  /** The GPU that failed it last, to be avoided while there is another; "" when none. */
  readonly avoidGpuId: GpuId | "";
}

/**
 * `open` has to be tried against every GPU; `refused` fitted none, so only a GPU that changed since can take it; `hopeless`
 * fits no GPU of the fleet even when all are idle, so only a new GPU or runner can.
 */
export type Standing = "open" | "refused" | "hopeless";

/** Requests of one band that fit the same GPUs. */
export interface EligibilityClass {
  readonly key: string;
  readonly band: number;
  standing: Standing;
  /** What was refused may fit later without any GPU changing: promises are judged by the clock. */
  healsWithTime: boolean;
  /** The smallest needs that were refused. A head that needs less opens the class again. */
  refusedMib: number;
  refusedTokens: number;
  /** One turn per line, lowest virtual time first. Turns of lines that are gone, or of an earlier virtual time, stay until they come up. */
  turns: Heap<Turn>;
  readonly lines: Map<string, Line>;
}

/** One user's requests in a class. */
interface Line {
  readonly waiting: LinkedList<Waiting>;
  turn: Turn;
}

interface Turn {
  readonly share: Share;
  readonly virtualMs: number;
}

const PRIORITIES: readonly Priority[] = [5, 4, 3, 2, 1];
/** The late wait behind all that can still be in time, and before priority 1, where nobody waits for an answer. */
const LATE_BAND = 1.5;
const BANDS: readonly number[] = [...PRIORITIES, LATE_BAND];
/** Memory needs are compared in steps of this, so that similar requests share a class; a class is judged by its own head. */
const MEMORY_STEP_MIB = 512;
/** Turns that have lost their meaning are swept when there are more of them. */
const MAX_STALE_TURNS = 64;

export class WaitingQueue {
  readonly #maxWaitMs: number;
  readonly #classes = new Map<string, EligibilityClass>();
  readonly #byStanding: { readonly [S in Standing]: Set<EligibilityClass> } = { open: new Set(), refused: new Set(), hopeless: new Set() };
  readonly #entries = new ChurnMap<RequestId, { readonly entry: ListEntry<Waiting>; readonly of: EligibilityClass }>();
  /** Sequences of those that wait, by priority. */
  readonly #bands = new Map<Priority, RankSet>(PRIORITIES.map((priority) => [priority, new RankSet()]));
  readonly #shares = new Map<number, FairShare>(BANDS.map((band) => [band, new FairShare()]));
  /** Classes whose requests want their GPUs to themselves. */
  readonly #exclusive = new Set<EligibilityClass>();
  /** Such requests that have come, ever. */
  exclusiveArrivals = 0;
  readonly #pinned = new Map<GpuId, number>();
  #bytes = 0;

  /** Whose head has waited longer than `maxWaitMs` goes first, whatever its band: no band starves another for ever. */
  constructor(maxWaitMs = Number.POSITIVE_INFINITY) {
    this.#maxWaitMs = maxWaitMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Payload bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether some class has to be tried against every GPU. */
  get hasOpen(): boolean {
    return this.#byStanding.open.size > 0;
  }

  get hasExclusive(): boolean {
    return this.#exclusive.size > 0;
  }

  push(waiting: Waiting): void {
    const { userId, requestId } = waiting.spec;
    const key = classKey(waiting);
    let of = this.#classes.get(key);
    if (!of) {
      of = {
        key,
        band: bandOf(waiting),
        standing: "open",
        healsWithTime: false,
        refusedMib: Number.POSITIVE_INFINITY,
        refusedTokens: Number.POSITIVE_INFINITY,
        turns: new Heap(isEarlierTurn),
        lines: new Map(),
      };
      this.#classes.set(key, of);
      this.#byStanding.open.add(of);
      if (waiting.exclusive) this.#exclusive.add(of);
    }
    if (waiting.exclusive) this.exclusiveArrivals += 1;
    const share = this.#share(of.band).arrive(userId);
    let line = of.lines.get(userId);
    if (!line) {
      line = { waiting: new LinkedList(), turn: turnOf(share) };
      of.lines.set(userId, line);
      of.turns.push(line.turn);
    }
    const entry = insertByDue(line.waiting, waiting);
    this.#entries.set(requestId, { entry, of });
    this.#count(waiting, 1);
    this.#judgeHead(of);
  }

  /** Takes a request out, wherever it stands; null when it does not wait. */
  remove(requestId: RequestId): Waiting | null {
    const found = this.#entries.get(requestId);
    if (!found) return null;
    const { entry, of } = found;
    const { userId } = entry.value.spec;
    const line = of.lines.get(userId)!;
    line.waiting.remove(entry);
    this.#share(of.band).leave(userId);
    this.#entries.delete(requestId);
    this.#count(entry.value, -1);
    if (line.waiting.size === 0) {
      of.lines.delete(userId);
      if (of.turns.size > MAX_STALE_TURNS + 2 * of.lines.size) of.turns = new Heap(isEarlierTurn, [...of.lines.values()].map(({ turn }) => turn));
    }
    if (of.lines.size === 0) {
      this.#classes.delete(of.key);
      this.#byStanding[of.standing].delete(of);
      this.#exclusive.delete(of);
    } else {
      this.#judgeHead(of);
    }
    return entry.value;
  }

  get(requestId: RequestId): Waiting | null {
    return this.#entries.get(requestId)?.entry.value ?? null;
  }

  /** Whether it waits for a GPU that the fleet does not have. */
  isHopeless(requestId: RequestId): boolean {
    return this.#entries.get(requestId)?.of.standing === "hopeless";
  }

  /** Moves a request that cannot be in time to those that are served when nobody else wants the GPU. */
  demote(requestId: RequestId): void {
    const waiting = this.remove(requestId);
    if (waiting) this.push({ ...waiting, late: true });
  }

  /** GPU time that a request is going to get, as estimated; called while it still waits. */
  charge(requestId: RequestId, gpuMs: number): void {
    const found = this.#entries.get(requestId);
    if (found) this.#share(found.of.band).charge(found.entry.value.spec.userId, gpuMs);
  }

  /** By how much a charge was too low. */
  settle({ priority, userId }: RequestSpec, gpuMs: number): void {
    this.#share(priority).settle(userId, gpuMs);
  }

  /** The next of a class. */
  head(of: EligibilityClass): Waiting {
    for (;;) {
      const turn = of.turns.first!;
      const line = of.lines.get(turn.share.userId);
      const current = line?.turn === turn;
      if (line && current && turn.virtualMs === turn.share.virtualMs) return line.waiting.head!.value;
      of.turns.pop();
      if (!line || !current) continue;
      line.turn = turnOf(turn.share);
      of.turns.push(line.turn);
    }
  }

  /** Those behind the head that might fit where it does not, at most `most`: the same user's next ones. */
  *behind(of: EligibilityClass, most: number): Iterable<Waiting> {
    let entry = of.lines.get(this.head(of).spec.userId)!.waiting.head!.next;
    for (let count = 0; entry && count < most; count += 1) {
      const next = entry.next;
      yield entry.value;
      entry = next;
    }
  }

  /**
   * The classes to try now, next first: who has waited too long, then by band, by virtual time, by due time. The refused
   * ones too when `withRefused`. Taken from with `next`. O(classes).
   */
  line(withRefused: boolean, nowMs: number): Heap<Place> {
    const { open, refused } = this.#byStanding;
    const places: Place[] = [];
    for (const of of open) places.push(this.#place(of, nowMs));
    if (withRefused) for (const of of refused) places.push(this.#place(of, nowMs));
    return new Heap(comesBefore, places);
  }

  /** The same for those who want their GPUs to themselves and may get them some day. */
  exclusiveLine(nowMs: number): Heap<Place> {
    const places: Place[] = [];
    for (const of of this.#exclusive) if (of.standing !== "hopeless") places.push(this.#place(of, nowMs));
    return new Heap(comesBefore, places);
  }

  /** Takes the next class out of a line; undefined at its end. A user who was served meanwhile has moved back. */
  next(line: Heap<Place>, nowMs: number): EligibilityClass | undefined {
    for (let place = line.pop(); place; place = line.pop()) {
      const now = this.#place(place.of, nowMs);
      if (now.virtualMs === place.virtualMs && now.head === place.head) return place.of;
      line.push(now);
    }
    return undefined;
  }

  /** Puts a class back into a line when somebody of it still waits. */
  putBack(line: Heap<Place>, of: EligibilityClass, nowMs: number): void {
    if (of.lines.size > 0) line.push(this.#place(of, nowMs));
  }

  #place(of: EligibilityClass, nowMs: number): Place {
    const head = this.head(of);
    const band = this.bandOf(head, nowMs);
    return { of, band, virtualMs: band === Number.POSITIVE_INFINITY ? 0 : of.turns.first!.virtualMs, head };
  }

  /** Whose turn it is: by priority; the late before priority 1; Infinity for who has waited too long. */
  bandOf(waiting: Pick<Waiting, "spec" | "late" | "acceptedAtMs">, nowMs: number): number {
    return nowMs - waiting.acceptedAtMs > this.#maxWaitMs ? Number.POSITIVE_INFINITY : bandOf(waiting);
  }

  /** Notes that the head of a class fitted no GPU. */
  refuse(of: EligibilityClass, standing: "refused" | "hopeless", healsWithTime: boolean): void {
    const { estimate } = this.head(of);
    of.refusedMib = Math.min(of.refusedMib, estimate.memoryMib);
    of.refusedTokens = Math.min(of.refusedTokens, tokensOf(estimate));
    of.healsWithTime = healsWithTime;
    this.#stand(of, standing);
  }

  /** Gives the hopeless another chance: GPUs or runners have changed. */
  reopenHopeless(): void {
    for (const of of this.#byStanding.hopeless) this.#open(of);
  }

  /** Gives those another chance that only the clock keeps out. */
  reopenHealing(): void {
    for (const of of this.#byStanding.refused) if (of.healsWithTime) this.#open(of);
  }

  /** The first of every class, in no order. */
  *heads(): Iterable<Waiting> {
    for (const of of this.#classes.values()) yield this.head(of);
  }

  /** How many wait for exactly this GPU. */
  pinnedTo(gpuId: GpuId): number {
    return this.#pinned.get(gpuId) ?? 0;
  }

  bandSize(priority: Priority): number {
    return this.#band(priority).size;
  }

  /** Requests ahead of it: all of higher bands and the earlier ones of its own. 0 when it does not wait. */
  position(requestId: RequestId): number {
    const waiting = this.get(requestId);
    if (!waiting) return 0;
    const { priority } = waiting.spec;
    return this.lengthBefore(priority) - this.bandSize(priority) + this.#band(priority).below(waiting.sequence);
  }

  /** Requests ahead of one that would join the end of a band now. */
  lengthBefore(priority: Priority): number {
    let ahead = 0;
    for (const band of PRIORITIES) if (band >= priority) ahead += this.bandSize(band);
    return ahead;
  }

  #share(band: number): FairShare {
    return this.#shares.get(band)!;
  }

  #band(priority: Priority): RankSet {
    return this.#bands.get(priority)!;
  }

  #count({ spec, sequence }: Waiting, by: 1 | -1): void {
    const { priority, specificGpuId, payload } = spec;
    if (by === 1) this.#band(priority).add(sequence);
    else this.#band(priority).remove(sequence);
    this.#bytes += by * payload.byteLength;
    if (specificGpuId === "") return;
    const pinned = this.pinnedTo(specificGpuId) + by;
    if (pinned > 0) this.#pinned.set(specificGpuId, pinned);
    else this.#pinned.delete(specificGpuId);
  }

  /** What was refused to the old head may fit a new one that needs less. */
  #judgeHead(of: EligibilityClass): void {
    if (of.standing === "open") return;
    const { estimate } = this.head(of);
    if (estimate.memoryMib < of.refusedMib || tokensOf(estimate) < of.refusedTokens) this.#open(of);
  }

  #open(of: EligibilityClass): void {
    of.refusedMib = Number.POSITIVE_INFINITY;
    of.refusedTokens = Number.POSITIVE_INFINITY;
    this.#stand(of, "open");
  }

  #stand(of: EligibilityClass, standing: Standing): void {
    this.#byStanding[of.standing].delete(of);
    of.standing = standing;
    this.#byStanding[standing].add(of);
  }
}

/** A class with what its place in line hangs on. */
export interface Place {
  readonly of: EligibilityClass;
  readonly band: number;
  readonly virtualMs: number;
  readonly head: Waiting;
}

function comesBefore(a: Place, b: Place): boolean {
  if (a.band !== b.band) return a.band > b.band;
  if (a.virtualMs !== b.virtualMs) return a.virtualMs < b.virtualMs;
  return isEarlier(a.head, b.head);
}

function isEarlierTurn(a: Turn, b: Turn): boolean {
  return a.virtualMs < b.virtualMs;
}

function turnOf(share: Share): Turn {
  return { share, virtualMs: share.virtualMs };
}

function isEarlier(a: Waiting, b: Waiting): boolean {
  return a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.sequence < b.sequence);
}

function bandOf({ spec, late }: Pick<Waiting, "spec" | "late">): number {
  return late ? Math.min(LATE_BAND, spec.priority) : spec.priority;
}

function tokensOf(estimate: ResourceEstimate): number {
  return (estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0);
}

function classKey({ spec, late, estimate, avoidGpuId }: Waiting): string {
  const { requirements } = spec;
  const memoryStep = Math.ceil(estimate.memoryMib / MEMORY_STEP_MIB);
  const band = late ? LATE_BAND : spec.priority;
  return `${band}\n${spec.modelId}\n${spec.type}\n${spec.specificGpuId}\n${spec.strategy}\n${avoidGpuId}\n${requirements.minComputeCapability},${requirements.computeUnits},${memoryStep},${wishesOf(spec).gpus}`;
}

/** Most go to the end; one that is due earlier, or is back for another attempt, finds its place from there. */
function insertByDue(line: LinkedList<Waiting>, waiting: Waiting): ListEntry<Waiting> {
  let place = line.tail;
  while (place && isEarlier(waiting, place.value)) place = place.previous;
  return line.insertBefore(place ? place.next : line.head, waiting);
}
