import type { Strategy } from "../contract.js";
import { kvPressure } from "../scorers/kv-pressure.js";
import { tokenSeconds } from "../scorers/token-seconds.js";

/** The least work in seconds at nominal speed, as the least_load policy of SGLang's gateway counts it. */
export const secondsOfWork: Strategy = {
  name: "seconds_of_work",
  scorers: [
    { scorer: tokenSeconds, weight: -1 },
    { scorer: kvPressure, weight: -1 },
  ],
};
