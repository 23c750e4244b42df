// A finite stream as a ring without an end, entered at a place that the seed chooses: ten seeds see ten different stretches of
// the same hour, and a load that needs more than the hour finds more. Streams of the same length enter at the same place, so
// traces of the same hours stay aligned.
import { hash32 } from "../../lib/random.js";
import { seedFor } from "./draw.js";
import { changed, type Stream } from "./stream.js";

/** The ring. Each further lap has lots, prompts and sessions of its own: a repeated trace must not hit what its first lap cached. */
export function loop(stream: Stream): Stream {
  const periodMs = stream.durationMs;
  return {
    durationMs: Number.POSITIVE_INFINITY,
    senders: stream.senders,
    *requests(seed, fromMs = 0) {
      const offsetMs = entryOf(seed) * periodMs;
      // Three laps in a row without a request: the stream is empty, and going on would never end.
      for (let lap = Math.floor((fromMs + offsetMs) / periodMs), idle = 0; idle < 3; lap += 1) {
        const baseMs = lap * periodMs - offsetMs;
        const label = `lap ${lap}`;
        const pass = lap === 0 ? stream.requests(seed, Math.max(offsetMs, fromMs - baseMs)) : renamed(stream, label).requests(seedFor(label, seed), Math.max(0, fromMs - baseMs));
        idle += 1;
        for (const request of pass) {
          idle = 0;
          const atMs = request.atMs + baseMs;
          // Rounding may put the first one just before what was asked for.
          if (atMs >= fromMs) yield { ...request, atMs };
        }
      }
    },
  };
}

/** Where a seed enters any ring, as a share of it. */
function entryOf(seed: number): number {
  return seedFor("entry", seed) / 0x1_0000_0000;
}

/** The same requests with other prompts and sessions, as `label` says. */
export function renamed(stream: Stream, label: string): Stream {
  const salt = hash32(label);
  return changed(stream, () => (request) => {
    if (request.prefixHashes.length === 0 && request.sessionKey === "") return request;
    const sessionKey = request.sessionKey === "" ? "" : `${request.sessionKey}/${label}`;
    return { ...request, sessionKey, prefixHashes: request.prefixHashes.map((hash) => (hash ^ salt) >>> 0) };
  });
}

/** The same stream as another seed gives it: entered elsewhere, with other lots. */
export function reseeded(stream: Stream, label: string): Stream {
  return { ...stream, requests: (seed, fromMs) => stream.requests(seedFor(label, seed), fromMs) };
}
