// Requests drawn from what ServeGen says of each client. A client's ten minutes get as many requests as its rate says (the
// fraction by lot); their gaps are drawn from the published family with the published coefficient of variation, and scaled to
// fill the window, so that rates hold exactly however bursty a client is. The published shape and scale are not used: their
// mean gap is up to a thousand times off the published rate. Lengths are drawn from the client's own distributions, or, for a
// client without any, from those of all that have them, weighted by how much they sent. Input and output are independent,
// as only their marginals were published.
import { seededRandom } from "../../lib/random.js";
import { gamma, gammaShape, seedFor, weibull, weibullShape } from "./draw.js";
import { CLIENT_WINDOW_MS, type ClientWindow, type LengthWindow, type ServegenTrace, type TokenShares } from "./formats/servegen.js";
import { mergeInOrder } from "./merge.js";
import type { Stream, StreamRequest } from "./stream.js";

/** Values by the sum of the shares up to each. */
interface Sampler {
  readonly values: readonly number[];
  readonly upTo: Float64Array;
}

interface LengthSamplers {
  readonly atMs: number;
  readonly input: Sampler;
  readonly output: Sampler;
}

/** The stream; its senders are the clients, the busiest first. */
export function servegenStream(trace: ServegenTrace): Stream {
  const sent = (client: string): number => (trace.clients.get(client) ?? []).reduce((sum, { ratePerSecond }) => sum + ratePerSecond, 0);
  const senders = [...trace.clients.keys()].sort((one, other) => sent(other) - sent(one));
  const pooled = samplersOf(pool([...trace.lengths].map(([client, windows]) => ({ windows, weight: sent(client) }))));
  const samplers = senders.map((client) => {
    const own = trace.lengths.get(client);
    return own === undefined ? pooled : samplersOf(own);
  });
  return {
    durationMs: trace.durationMs,
    senders,
    requests: (seed, fromMs = 0) =>
      mergeInOrder(senders.map((client, sender) => clientRequests(client, sender, trace.clients.get(client) ?? [], samplers[sender] ?? [], seedFor(trace.name, seed), fromMs))),
  };
}

function* clientRequests(client: string, sender: number, windows: readonly ClientWindow[], lengths: readonly LengthSamplers[], seed: number, fromMs: number): Generator<StreamRequest, void, undefined> {
  for (const window of windows) {
    if (window.atMs + CLIENT_WINDOW_MS <= fromMs) continue;
    const random = seededRandom(seedFor(`${client} ${window.atMs}`, seed));
    const { input, output } = lengths.findLast(({ atMs }) => atMs <= window.atMs) ?? lengths[0] ?? { input: NOTHING, output: NOTHING };
    for (const offsetMs of times(window, random)) {
      const request: StreamRequest = { atMs: window.atMs + offsetMs, sender, inputTokens: sample(input, random()), outputTokens: sample(output, random()), prefixHashes: [], sessionKey: "", gpus: 1, workMs: 0 };
      if (request.atMs >= fromMs) yield request;
    }
  }
}

/** Times within a window, ms, in order. */
function times({ ratePerSecond, cv, pattern }: ClientWindow, random: () => number): Float64Array {
  const count = Math.floor((ratePerSecond * CLIENT_WINDOW_MS) / 1000 + random());
  const shape = pattern === "Gamma" ? gammaShape(cv) : weibullShape(cv);
  const draw = pattern === "Gamma" ? gamma : weibull;
  const result = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index += 1) result[index] = sum += draw(shape, random);
  // One gap more, to the end of the window. The first begins anywhere in its course: windows follow each other without a seam.
  sum += draw(shape, random);
  if (sum === 0) return result;
  const turn = random() * sum;
  const turned = result.map((time) => (((time + turn) % sum) / sum) * CLIENT_WINDOW_MS);
  return turned.sort();
}

/** One list of windows for all: at each time at which any begins, the mean of what holds then. */
function pool(clients: readonly { readonly windows: readonly LengthWindow[]; readonly weight: number }[]): LengthWindow[] {
  const starts = [...new Set(clients.flatMap(({ windows }) => windows.map(({ atMs }) => atMs)))].sort((one, other) => one - other);
  return starts.map((atMs) => {
    const holding = clients.flatMap(({ windows, weight }) => {
      const window = windows.find((each) => each.atMs === atMs);
      return window === undefined ? [] : [{ window, weight }];
    });
    return {
      atMs,
      input: mixture(holding.map(({ window, weight }) => ({ part: window.input, weight }))),
      output: mixture(holding.map(({ window, weight }) => ({ part: window.output, weight }))),
    };
  });
}

function mixture(parts: readonly { readonly part: TokenShares; readonly weight: number }[]): TokenShares {
  const sums = new Map<number, number>();
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  for (const { part, weight } of parts) {
    for (const [index, value] of part.values.entries()) sums.set(value, (sums.get(value) ?? 0) + ((part.shares[index] ?? 0) * weight) / total);
  }
  return { values: [...sums.keys()], shares: [...sums.values()] };
}

const NOTHING: Sampler = { values: [0], upTo: Float64Array.of(1) };

function samplersOf(windows: readonly LengthWindow[]): LengthSamplers[] {
  return windows.map(({ atMs, input, output }) => ({ atMs, input: sampler(input), output: sampler(output) }));
}

function sampler({ values, shares }: TokenShares): Sampler {
  let sum = 0;
  return { values, upTo: Float64Array.from(shares, (share) => (sum += share)) };
}

function sample({ values, upTo }: Sampler, lot: number): number {
  let low = 0;
  let high = upTo.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((upTo[middle] ?? 1) <= lot) low = middle + 1;
    else high = middle;
  }
  return values[low] ?? 0;
}
