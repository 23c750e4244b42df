// Who makes a call. The one place where authentication will say so; until then everybody is whoever reaches the loopback port.
// Used by the handlers whose acts are recorded with their author.
import type { Caller } from "../core/model/caller.js";

/** The author of the call that is being handled. */
export function presentCaller(): Caller {
  return { name: "local", address: "" };
}
