// A log that nobody reads: what matters in a simulated run is in its trace.
import type { Logger } from "pino";

const nothing = (): void => {};

/** The part of pino's logger that router and agent use. */
export const silentLog = { fatal: nothing, error: nothing, warn: nothing, info: nothing, debug: nothing, trace: nothing, level: "silent" } as unknown as Logger;
