// Which GPU has the context of which session: the tokens of its last turn, prompt and answer, may still lie in a key-value cache there.
// Written by the state when requests are placed and have ended, read by predictions of what a prompt costs. A guess: what engines evict,
// they do not tell. Not durable: a wrong belief costs as much as none, the reading of one prompt, and the next turn puts it right.
import { wishesOf, type RequestSpec } from "../model/request.js";

/** Bound on sessions; the one that was used longest ago goes first. */
const MAX_SESSIONS = 65_536;
/** After so long without a turn the engine has used the room for others, ms. */
const KEPT_MS = 1_800_000;

/** Where the context of a session lies. */
export interface SessionContext {
  readonly gpu: number;
  /** Its length. */
  readonly tokens: number;
}

interface Entry extends SessionContext {
  readonly modelId: string;
  readonly atMs: number;
}

export class SessionIndex {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** Keys of the entries of each GPU, so that forgetting one costs no look at all. */
  readonly #ofGpu: Set<string>[] = [];
  readonly #maxSessions: number;

  constructor(maxSessions = MAX_SESSIONS) {
    this.#maxSessions = maxSessions;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The GPU is going to read a prompt of the session, of so many tokens. */
  placed(spec: RequestSpec, gpu: number, tokens: number, nowMs: number): void {
    if (wishesOf(spec).sessionKey === "" || tokens <= 0) return;
    const key = keyOf(spec);
    this.#remove(key);
    this.#entries.set(key, { gpu, tokens, modelId: spec.modelId, atMs: nowMs });
    (this.#ofGpu[gpu] ??= new Set()).add(key);
    if (this.#entries.size > this.#maxSessions) this.#remove(this.#entries.keys().next().value!);
  }

  /** A turn has ended there, after which the context has so many tokens. A turn that was placed elsewhere meanwhile counts more. */
  ended(spec: RequestSpec, gpu: number, tokens: number, nowMs: number): void {
    if (wishesOf(spec).sessionKey === "") return;
    const entry = this.#entries.get(keyOf(spec));
    if (!entry || entry.gpu === gpu) this.placed(spec, gpu, Math.max(entry?.tokens ?? 0, tokens), nowMs);
  }

  /** Where the context of a request's session lies; null when it has none, or that is not known. */
  contextOf(spec: RequestSpec, nowMs: number): SessionContext | null {
    if (this.#entries.size === 0 || wishesOf(spec).sessionKey === "") return null;
    const entry = this.#entries.get(keyOf(spec));
    return entry && nowMs - entry.atMs <= KEPT_MS ? entry : null;
  }

  /** The caches of a GPU are gone, all or those of one model. */
  forget(gpu: number, modelId?: string): void {
    for (const key of this.#ofGpu[gpu] ?? []) if (modelId === undefined || this.#entries.get(key)?.modelId === modelId) this.#remove(key);
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#ofGpu[entry.gpu]?.delete(key);
  }
}

/** A session is one user's, with one model. None of the three holds control characters. */
function keyOf(spec: RequestSpec): string {
  return `${spec.userId}\n${spec.modelId}\n${wishesOf(spec).sessionKey}`;
}
