// More or less load from the same stream. Three ways, each keeping something else:
// * compress plays the clock faster. The rate rises by exactly the factor, fractions too, and gaps keep their coefficient of
//   variation; but lulls and bursts become shorter by the factor. The usual choice for "load 2.5".
// * superpose adds copies that enter the ring elsewhere. Each copy keeps its bursts and their length; but the sum of many is
//   smoother than one, as the sum of many users is. The choice for "five times the users".
// * thin leaves requests out by lot. The rate of what is left varies as before over minutes, and is smoother over seconds.
import { lotOf, seedFor } from "./draw.js";
import { renamed, reseeded } from "./loop.js";
import { mergeInOrder } from "./merge.js";
import { changed, type Stream } from "./stream.js";

/** The clock `factor` times as fast; the work itself stays. */
export function compress(stream: Stream, factor: number): Stream {
  if (factor === 1) return stream;
  return {
    ...changed(scaledStart(stream, factor), () => (request) => ({ ...request, atMs: request.atMs / factor })),
    durationMs: stream.durationMs / factor,
  };
}

/** The clock `factor` times as fast, and the time that jobs take with it: a month of jobs as an afternoon of shorter ones, with as many GPUs busy. */
export function pace(stream: Stream, factor: number): Stream {
  return changed(compress(stream, factor), () => (request) => (request.workMs === 0 ? request : { ...request, workMs: request.workMs / factor }));
}

/** A pass from `fromMs` after compression begins at `fromMs * factor` before it. */
function scaledStart(stream: Stream, factor: number): Stream {
  return { ...stream, requests: (seed, fromMs = 0) => stream.requests(seed, fromMs * factor) };
}

/** A share of the requests, 0..1, chosen by lot. `label` tells apart what is thinned independently. */
export function thin(stream: Stream, share: number, label: string): Stream {
  if (share >= 1) return stream;
  return changed(stream, (seed) => {
    const lots = seedFor(`thin ${label}`, seed);
    return (request) => (lotOf(lots, request) < share ? request : null);
  });
}

/**
 * As many copies of a ring as `copies` says, fractions by thinning. `label` tells apart one superposition from another around
 * it; the k-th copies of several rings enter at the same place when their labels are the same.
 */
export function superpose(ring: Stream, copies: number, label: string): Stream {
  if (copies === 1) return ring;
  const streams = Array.from({ length: Math.ceil(copies) }, (_, copy) => {
    const name = `${label} ${copy}`;
    return thin(copy === 0 ? ring : reseeded(renamed(ring, name), name), copies - copy, name);
  });
  return { ...ring, requests: (seed, fromMs) => mergeInOrder(streams.map((stream) => stream.requests(seed, fromMs))) };
}
