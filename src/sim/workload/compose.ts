// A workload out of streams: each sender of each stream is a tenant.
import { assert } from "../../lib/assert.js";
import type { Arrival, Tenant, Workload } from "./arrival.js";
import { between } from "./cut.js";
import { mergeInOrder } from "./merge.js";
import type { Stream } from "./stream.js";

/** A stream and, by sender, who that is. */
export interface Part {
  readonly stream: Stream;
  readonly tenants: readonly Tenant[];
}

/** The first `durationMs` of all parts together. Tenants are those of the parts one after the other; one object is one tenant. */
export function compose(parts: readonly Part[], durationMs: number): Workload {
  assert(Number.isFinite(durationMs), "a workload ends");
  const tenants: Tenant[] = [];
  const sources = parts.map(({ stream, tenants: own }) => {
    assert(own.length === stream.senders.length, "every sender of a stream is a tenant");
    return { stream: between(stream, 0, durationMs), places: own.map((tenant) => placeOf(tenants, tenant)) };
  });
  return {
    tenants,
    durationMs,
    arrivals: (seed) => mergeInOrder(sources.map(({ stream, places }) => arrivals(stream, places, seed))),
  };
}

function* arrivals(stream: Stream, places: readonly number[], seed: number): Generator<Arrival, void, undefined> {
  for (const { atMs, sender, inputTokens, outputTokens, prefixHashes, sessionKey, gpus, workMs } of stream.requests(seed)) {
    yield { atMs, tenant: places[sender] ?? 0, inputTokens, outputTokens, prefixHashes, sessionKey, gpus, workMs };
  }
}

function placeOf(tenants: Tenant[], tenant: Tenant): number {
  const place = tenants.indexOf(tenant);
  return place === -1 ? tenants.push(tenant) - 1 : place;
}
