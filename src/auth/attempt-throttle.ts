// Slows down those who guess: after a few failures a source is refused without a look, for a while that grows no longer than it takes to
// forget one. A source is an address, together with the key or user that it tries where that exists, so that who guesses
// at one does not shut out others behind the same address.
import { isIPv6 } from "node:net";
import { putLast } from "../lib/put-last.js";

const BURST = 10;
const FORGET_ONE_MS = 3_000;
const MAX_SOURCES = 10_000;

interface Source {
  failures: number;
  /** When `failures` was right. */
  atMs: number;
}

export class AttemptThrottle {
  readonly #sources = new Map<string, Source>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Sources that are remembered; bounded. */
  get size(): number {
    return this.#sources.size;
  }

  /** How long a source must wait before it is looked at again, ms; 0 when it need not. */
  waitMs(address: string, subject: string): number {
    const source = this.#sources.get(sourceOf(address, subject));
    if (!source) return 0;
    return Math.max(0, Math.ceil((this.#left(source) - BURST + 1) * FORGET_ONE_MS));
  }

  failed(address: string, subject: string): void {
    const name = sourceOf(address, subject);
    const source = this.#sources.get(name) ?? { failures: 0, atMs: 0 };
    source.failures = this.#left(source) + 1;
    source.atMs = this.#now();
    // The bound forgets the one that has been quiet for longest.
    putLast(this.#sources, name, source, MAX_SOURCES);
  }

  #left(source: Source): number {
    const now = this.#now();
    // A clock that was set back makes nobody wait until it is there again.
    if (now < source.atMs) source.atMs = now;
    return Math.max(0, source.failures - (now - source.atMs) / FORGET_ONE_MS);
  }
}

/** Whoever has an IPv6 address has 2^64 of them. */
function sourceOf(address: string, subject: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const network = mapped ?? (isIPv6(address) ? firstHalf(address) : address);
  return `${network} ${subject}`;
}

/** The first 64 bits of an IPv6 address, in one spelling. */
function firstHalf(address: string): string {
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = tail === undefined ? left : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
