// The longest time that a timer can be set to.
/** The longest that setTimeout can wait, ms: with more it fires at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
