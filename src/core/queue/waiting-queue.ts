// The priority manager's queue (C2): who is next. Strict bands from priority; within a band the user with the least virtual
// time; within a user the earliest due, else the earliest accepted. What can no longer be in time waits in a band of its own.
// Requests that fit the same GPUs form a class: when the head of a class fits nowhere, the rest is not tried either, so a
// pass costs a decision per class that a freed GPU may serve and never per waiting request.
import { ChurnMap } from "../../lib/churn-map.js";
import { Heap } from "../../lib/heap.js";
import type { ListEntry } from "../../lib/linked-list.js";
import type { RequestId } from "../model/ids.js";
import { DEFAULT_PRIORITY, wishesOf, type RequestSpec } from "../model/request.js";
import { bandOf, classKey, LATE_BAND } from "./class-key.js";
import { EligibilityClass, isEarlier, type Standing, type Waiting } from "./eligibility-class.js";
import { FairShare } from "./fair-share.js";
import type { FreedGpu } from "./refused-index.js";
import { Standings } from "./standings.js";
import { WaitingCounts } from "./waiting-counts.js";

export type { EligibilityClass, Standing, Waiting };

/** After so many times the longest wait it no longer counts what others have. */
const LONG = 4;
const BANDS: readonly number[] = [5, 4, 3, 2, 1, LATE_BAND];

/** Which of the orders count; the others are as if all were alike in them. */
export interface QueueOrder {
  readonly bands: boolean;
  readonly fairUsers: boolean;
}

export class WaitingQueue {
  readonly #maxWaitMs: number;
  readonly #wholeGpusLeft: (besideAll: boolean) => number;
  /** Those who want GPUs to themselves and go first, having waited too long. Chosen with each look at their line. */
  readonly #hurried = new Set<RequestId>();
  readonly #order: QueueOrder;
  readonly #weights: ReadonlyMap<string, number>;
  readonly #classes = new Map<string, EligibilityClass>();
  /** Which classes are worth trying. */
  readonly standings = new Standings();
  readonly #entries = new ChurnMap<RequestId, { readonly entry: ListEntry<Waiting>; readonly of: EligibilityClass }>();
  readonly counts = new WaitingCounts();
  readonly #shares = new Map<number, FairShare>(BANDS.map((band) => [band, new FairShare()]));
  /** Classes where a user's quota holds his line, by user. */
  readonly #held = new Map<string, Set<EligibilityClass>>();
  /** Classes whose requests want their GPUs to themselves. */
  readonly #exclusive = new Set<EligibilityClass>();
  /** Such requests that have come, ever. */
  exclusiveArrivals = 0;

  /**
   * Whose head has waited longer than `maxWaitMs` goes first, whatever its band: no band starves another for ever. `weights` are the users'
   * shares where they are not 1, as they are at any time. Of those who want GPUs to themselves the oldest do, as far as there are `wholeGpusLeft` for that.
   */
  constructor(maxWaitMs = Number.POSITIVE_INFINITY, weights: ReadonlyMap<string, number> = new Map(), order: QueueOrder = { bands: true, fairUsers: true }, wholeGpusLeft: (besideAll: boolean) => number = () => Number.POSITIVE_INFINITY) {
    this.#wholeGpusLeft = wholeGpusLeft;
    this.#maxWaitMs = maxWaitMs;
    this.#order = order;
    this.#weights = weights;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether some class has to be tried against every GPU. */
  get hasOpen(): boolean {
    return this.standings.open.size > 0;
  }

  get hasExclusive(): boolean {
    return this.#exclusive.size > 0;
  }

  push(waiting: Waiting): void {
    const { userId, requestId } = waiting.spec;
    const key = classKey(waiting);
    let of = this.#classes.get(key);
    if (!of) {
      const { modelId, type, specificGpuId: pin } = waiting.spec;
      of = new EligibilityClass(key, this.#bandOf(waiting), { modelId, type, pin, gpus: wishesOf(waiting.spec).gpus });
      this.#classes.set(key, of);
      this.standings.add(of);
      if (waiting.exclusive) this.#exclusive.add(of);
    }
    if (waiting.exclusive) this.exclusiveArrivals += 1;
    const share = this.#share(of.band).arrive(userId);
    const entry = of.add(waiting, share);
    this.#entries.set(requestId, { entry, of });
    this.counts.add(waiting);
    this.standings.judge(of);
  }

  /** Takes a request out, wherever it stands; null when it does not wait. */
  remove(requestId: RequestId): Waiting | null {
    const found = this.#entries.get(requestId);
    if (!found) return null;
    const { entry, of } = found;
    const { userId } = entry.value.spec;
    of.remove(entry);
    this.#share(of.band).leave(userId);
    this.#entries.delete(requestId);
    this.#hurried.delete(requestId);
    this.counts.remove(entry.value);
    if (of.isEmpty) {
      this.#classes.delete(of.key);
      this.standings.drop(of);
      this.#exclusive.delete(of);
    } else {
      this.standings.judge(of);
    }
    if (this.#held.size > 0 && !of.heldHead(userId)) this.#forgetHeld(userId, of);
    return entry.value;
  }

  get(requestId: RequestId): Waiting | null {
    return this.#entries.get(requestId)?.entry.value ?? null;
  }

  /** Whether it waits for a GPU that the fleet does not have. */
  isHopeless(requestId: RequestId): boolean {
    return this.#entries.get(requestId)?.of.standing === "hopeless";
  }

  /** Moves a request that cannot be in time to those that are served when nobody else wants the GPU; the class where it is now. */
  demote(requestId: RequestId): EligibilityClass | null {
    const waiting = this.remove(requestId);
    if (!waiting) return null;
    this.push({ ...waiting, late: true });
    return this.#entries.get(requestId)!.of;
  }

  /** GPU time that a request is going to get, as estimated; called while it still waits. */
  charge(requestId: RequestId, gpuMs: number): void {
    const found = this.#entries.get(requestId);
    if (!found) return;
    const { userId } = found.entry.value.spec;
    if (this.#order.fairUsers) this.#share(found.of.band).charge(userId, this.#weighted(userId, gpuMs));
  }

  /** By how much a charge was too low; `late` as it was when it was charged. */
  settle(spec: RequestSpec, late: boolean, gpuMs: number): void {
    if (this.#order.fairUsers) this.#share(this.#bandOf({ spec, late })).settle(spec.userId, this.#weighted(spec.userId, gpuMs));
  }

  /** Who has twice the weight is charged half for the same. */
  #weighted(userId: string, gpuMs: number): number {
    return this.#weights.size === 0 ? gpuMs : gpuMs / (this.#weights.get(userId) ?? 1);
  }

  /**
   * The classes to try now, next first: who has waited too long, then by band, by virtual time, by due time. Of the refused ones those that
   * one of `freed` may serve, or all of them. Taken from with `next`. O(classes that are in it).
   */
  line(freed: readonly FreedGpu[] | "all", nowMs: number): Heap<Place> {
    const { standings } = this;
    const places: Place[] = [];
    for (const of of standings.open) places.push(this.#place(of, nowMs));
    for (const of of freed === "all" ? standings.refused : freed.length > 0 ? standings.refusedFor(freed) : []) places.push(this.#place(of, nowMs));
    return new Heap(comesBefore, places);
  }

  /** The same for those who want their GPUs to themselves and may get them some day. */
  exclusiveLine(nowMs: number): Heap<Place> {
    const classes = [...this.#exclusive].filter((of) => of.standing !== "hopeless" && of.hasHead);
    this.#hurry(classes, nowMs);
    return new Heap(comesBefore, classes.map((of) => this.#place(of, nowMs)));
  }

  /** Takes the next class out of a line; undefined at its end. A user who was served meanwhile has moved back. */
  next(line: Heap<Place>, nowMs: number): EligibilityClass | undefined {
    for (let place = line.pop(); place; place = line.pop()) {
      // A class may stand in a line twice: when its late ones came in during the pass.
      if (!place.of.hasHead) continue;
      const now = this.#place(place.of, nowMs);
      if (now.band === place.band && now.virtualMs === place.virtualMs && now.head === place.head) return place.of;
      line.push(now);
    }
    return undefined;
  }

  /** Puts a class back into a line when it is still somebody's turn. */
  putBack(line: Heap<Place>, of: EligibilityClass, nowMs: number): void {
    if (of.hasHead) line.push(this.#place(of, nowMs));
  }

  #place(of: EligibilityClass, nowMs: number): Place {
    const { head } = of;
    const band = this.bandOf(head, nowMs);
    return { of, band, virtualMs: band === Number.POSITIVE_INFINITY ? 0 : of.virtualMs, head };
  }

  /** Whose turn it is: by priority; the late before priority 1; Infinity for who has waited too long. */
  bandOf(waiting: Pick<Waiting, "spec" | "late" | "acceptedAtMs" | "exclusive">, nowMs: number): number {
    const goesFirst = this.#isOverdue(waiting, nowMs) && (!waiting.exclusive || this.#hurried.has(waiting.spec.requestId));
    return goesFirst ? Number.POSITIVE_INFINITY : this.#bandOf(waiting);
  }

  #isOverdue({ acceptedAtMs }: Pick<Waiting, "acceptedAtMs">, nowMs: number): boolean {
    return nowMs - acceptedAtMs > this.#maxWaitMs;
  }

  /** The oldest first, so that small ones never take what a large one waits for. */
  #hurry(classes: readonly EligibilityClass[], nowMs: number): void {
    this.#hurried.clear();
    const heads = classes.map(({ head }) => head).filter((head) => this.#isOverdue(head, nowMs));
    if (heads.length === 0) return;
    const [usual, atLast] = [this.#wholeGpusLeft(true), this.#wholeGpusLeft(false)];
    let gpus = 0;
    for (const { spec, acceptedAtMs } of heads.sort((a, b) => a.acceptedAtMs - b.acceptedAtMs || a.sequence - b.sequence)) {
      if ((nowMs - acceptedAtMs <= LONG * this.#maxWaitMs ? usual : atLast) <= gpus) return;
      this.#hurried.add(spec.requestId);
      gpus += wishesOf(spec).gpus;
    }
  }

  #bandOf(waiting: Pick<Waiting, "spec" | "late">): number {
    if (this.#order.bands) return bandOf(waiting);
    return waiting.late ? LATE_BAND : DEFAULT_PRIORITY;
  }

  /** The quota of a class's head keeps him from his turn: the next user has it. True when it is news of that request. */
  hold(of: EligibilityClass): boolean {
    const { userId } = of.head.spec;
    const news = of.hold();
    let classes = this.#held.get(userId);
    if (!classes) {
      classes = new Set();
      this.#held.set(userId, classes);
    }
    classes.add(of);
    this.standings.judge(of);
    return news;
  }

  /** Users whom their quota holds, with the first of each of their lines. */
  *heldHeads(): Iterable<readonly [userId: string, heads: readonly Waiting[]]> {
    for (const [userId, classes] of this.#held) yield [userId, [...classes].flatMap((of) => of.heldHead(userId) ?? [])];
  }

  get holdsAnybody(): boolean {
    return this.#held.size > 0;
  }

  /** Whether a user's quota keeps his request, or one before it, from its turn. */
  isHeld({ userId, requestId }: RequestSpec): boolean {
    return (this.#entries.get(requestId)?.of.heldHead(userId) ?? null) !== null;
  }

  /** A user may have room: his lines have their turns again. */
  letGo(userId: string): void {
    const classes = this.#held.get(userId);
    if (!classes) return;
    this.#held.delete(userId);
    for (const of of classes) {
      of.letGo(userId);
      this.standings.judge(of);
    }
  }

  #forgetHeld(userId: string, of: EligibilityClass): void {
    const classes = this.#held.get(userId);
    if (classes?.delete(of) && classes.size === 0) this.#held.delete(userId);
  }

  /** The first of every class that quotas let go, in no order. */
  *heads(): Iterable<Waiting> {
    for (const of of this.#classes.values()) if (of.hasHead) yield of.head;
  }

  /** Requests ahead of it: all of higher bands and the earlier ones of its own. 0 when it does not wait. */
  position(requestId: RequestId): number {
    const waiting = this.get(requestId);
    return waiting ? this.counts.before(waiting) : 0;
  }

  #share(band: number): FairShare {
    return this.#shares.get(band)!;
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
  // Of those who have waited too long it is the one who has waited longest: one without a wish is due after all others.
  if (a.band === Number.POSITIVE_INFINITY && a.head.acceptedAtMs !== b.head.acceptedAtMs) return a.head.acceptedAtMs < b.head.acceptedAtMs;
  return isEarlier(a.head, b.head);
}
