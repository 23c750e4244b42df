// The key `request_router.timeouts`: times by what requests are for. Used by router-config.ts; how they are looked up is the core's.
import { z } from "zod";
import type { CoreSettings } from "../core/settings.js";
import { wholeMs } from "./whole-ms.js";

const KEY = /^([a-z][a-z0-9_-]{0,62}|\*)(\/[1-5])?$/;
const seconds = z.number().min(0).max(31_536_000).optional();

/** Seconds; 0 for none. */
const times = z.strictObject({ total: seconds, waiting: seconds, starting: seconds, running: seconds, answering: seconds });

export const requestTimeouts = z.record(z.string().regex(KEY, 'must be a request type or "*", with "/" and a priority or without'), times).default({});

/** In milliseconds. */
export function timeoutsOf(file: z.output<typeof requestTimeouts>): CoreSettings["timeouts"] {
  return Object.fromEntries(Object.entries(file).map(([key, each]) => [key, millisecondsOf(each)]));
}

function millisecondsOf(each: z.output<typeof times>): CoreSettings["timeouts"][string] {
  return Object.fromEntries(Object.entries(each).flatMap(([stage, value]) => (value === undefined ? [] : [[`${stage}Ms`, wholeMs(value)]])));
}
