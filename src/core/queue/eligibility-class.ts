// Requests of one band that fit the same GPUs, in the order in which they are to be served: users by virtual time, each user's
// requests by due time. The waiting queue makes classes, fills them and says where they stand.
import { Heap } from "../../lib/heap.js";
import { LinkedList, type ListEntry } from "../../lib/linked-list.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { GpuId } from "../model/ids.js";
import type { RequestSpec } from "../model/request.js";
import type { Share } from "./fair-share.js";

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
 * fits no GPU of the fleet even when all are idle, so only a new GPU or runner can; `held` has nobody whom his quota lets go.
 */
export type Standing = "open" | "refused" | "hopeless" | "held";

/** What all requests of a class need of a GPU alike. */
export interface ClassNeeds {
  readonly modelId: string;
  readonly type: string;
  /** The only GPU that may have them; "" for any. */
  readonly pin: GpuId | "";
  readonly gpus: number;
}

/** One user's requests. */
interface Line {
  readonly waiting: LinkedList<Waiting>;
  turn: Turn;
  /** Its user's quota keeps it from its turn. */
  held: boolean;
  /** Of whom that was told already. */
  lastHeld: Waiting | null;
}

/** A line's place; it holds while virtual time and head are still these. Both only grow, or a new turn is made. */
interface Turn {
  readonly share: Share;
  readonly virtualMs: number;
  readonly head: Waiting;
}

/** Turns that have lost their meaning are swept when there are more of them. */
const MAX_STALE_TURNS = 64;

export class EligibilityClass {
  readonly key: string;
  readonly band: number;
  readonly needs: ClassNeeds;
  standing: Standing = "open";
  /** What was refused may fit later without any GPU changing: promises are judged by the clock. */
  healsWithTime = false;
  /** The smallest needs that were refused. A head that needs less opens the class again. */
  refusedMib = Number.POSITIVE_INFINITY;
  refusedTokens = Number.POSITIVE_INFINITY;
  readonly #lines = new Map<string, Line>();
  #heldLines = 0;
  /** One turn per line, lowest virtual time first. Turns of lines that are gone, or of an earlier virtual time, stay until they come up. */
  #turns = new Heap<Turn>(isEarlierTurn);

  constructor(key: string, band: number, needs: ClassNeeds) {
    this.key = key;
    this.band = band;
    this.needs = needs;
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0;
  }

  /** Whether it is somebody's turn: there is a `head`. */
  get hasHead(): boolean {
    return this.#lines.size > this.#heldLines;
  }

  /** Turns kept, those that have lost their meaning among them: never many more than lines. */
  get turnCount(): number {
    return this.#turns.size;
  }

  /** Who is next. Only while it `hasHead`. */
  get head(): Waiting {
    return this.#headLine().waiting.head!.value;
  }

  /** The virtual time of the head's user, ms. Only while it `hasHead`. */
  get virtualMs(): number {
    return this.#headLine().turn.virtualMs;
  }

  add(waiting: Waiting, share: Share): ListEntry<Waiting> {
    const { userId } = waiting.spec;
    const line = this.#lines.get(userId);
    if (!line) {
      const first: Line = { waiting: new LinkedList(), turn: turnOf(share, waiting), held: false, lastHeld: null };
      this.#lines.set(userId, first);
      this.#turns.push(first.turn);
      return first.waiting.append(waiting);
    }
    const entry = insertByDue(line.waiting, waiting);
    if (line.waiting.head === entry) this.#turnTo(line, share, waiting);
    return entry;
  }

  /** A new head of a line has its turn, though the old one was held. */
  #turnTo(line: Line, share: Share, head: Waiting): void {
    if (line.held) this.#heldLines -= 1;
    line.held = false;
    line.turn = turnOf(share, head);
    this.#turns.push(line.turn);
    this.#sweep();
  }

  /** Takes the head's user out of turn until `letGo`, or until another of his requests comes first. True the first time for a head. */
  hold(): boolean {
    const line = this.#headLine();
    const head = line.waiting.head!.value;
    const news = line.lastHeld !== head;
    line.lastHeld = head;
    line.held = true;
    this.#heldLines += 1;
    return news;
  }

  /** Gives a held user his turn again; does nothing for any other. */
  letGo(userId: string): void {
    const line = this.#lines.get(userId);
    if (line?.held) this.#turnTo(line, line.turn.share, line.waiting.head!.value);
  }

  /** The first of a user's requests when his quota holds it; null when it does not. */
  heldHead(userId: string): Waiting | null {
    const line = this.#lines.get(userId);
    return line?.held ? line.waiting.head!.value : null;
  }

  remove(entry: ListEntry<Waiting>): void {
    const { userId } = entry.value.spec;
    const line = this.#lines.get(userId)!;
    const { waiting } = line;
    const wasHead = waiting.head === entry;
    waiting.remove(entry);
    if (waiting.size > 0) {
      if (line.held && wasHead) this.letGo(userId);
      return;
    }
    if (line.held) this.#heldLines -= 1;
    this.#lines.delete(userId);
    this.#sweep();
  }

  /**
   * Some of those behind the head that might fit where it does not, at most `most`: of the same user the next, the second, the fourth
   * and so on, then the first of other users. The further behind, the more time one still has.
   */
  *behind(most: number): Iterable<Waiting> {
    const own = this.#headLine();
    let entry = own.waiting.head!.next;
    for (let count = 0, stride = 1; entry && count < most; count += 1, stride *= 2) {
      yield entry.value;
      for (let step = 0; entry && step < stride; step += 1) entry = entry.next;
    }
    let others = 0;
    for (const line of this.#lines.values()) {
      if (line === own || line.held) continue;
      if (others === most) return;
      others += 1;
      yield line.waiting.head!.value;
    }
  }

  #sweep(): void {
    if (this.#turns.size > MAX_STALE_TURNS + 2 * this.#lines.size) this.#turns = new Heap(isEarlierTurn, [...this.#lines.values()].filter(({ held }) => !held).map(({ turn }) => turn));
  }

  /** The line whose turn it is; brings turns up to date on the way. */
  #headLine(): Line {
    for (;;) {
      const turn = this.#turns.first!;
      const line = this.#lines.get(turn.share.userId);
      const current = line?.turn === turn && !line.held;
      const head = line?.waiting.head?.value;
      if (line && current && turn.virtualMs === turn.share.virtualMs && turn.head === head) return line;
      this.#turns.pop();
      if (!line || !current || !head) continue;
      line.turn = turnOf(turn.share, head);
      this.#turns.push(line.turn);
    }
  }
}

/** Whether `a` comes before `b` of the same user, or of one with the same virtual time. */
export function isEarlier(a: Waiting, b: Waiting): boolean {
  return a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.sequence < b.sequence);
}

function isEarlierTurn(a: Turn, b: Turn): boolean {
  return a.virtualMs < b.virtualMs || (a.virtualMs === b.virtualMs && isEarlier(a.head, b.head));
}

function turnOf(share: Share, head: Waiting): Turn {
  return { share, virtualMs: share.virtualMs, head };
}

/**
 * Most go to the end; one that is due earlier, or is back for another attempt, finds its place from there or from the head, whichever is
 * nearer: urgent requests need not pass all those that can wait.
 */
function insertByDue(line: LinkedList<Waiting>, waiting: Waiting): ListEntry<Waiting> {
  let before = line.tail;
  let after = line.head;
  for (;;) {
    if (!before || !isEarlier(waiting, before.value)) return line.insertBefore(before ? before.next : line.head, waiting);
    if (!after || isEarlier(waiting, after.value)) return line.insertBefore(after, waiting);
    before = before.previous;
    after = after.next;
  }
}
