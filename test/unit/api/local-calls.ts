// Handlers as those call them who are on the router's own machine and need not say who they are.
import { LOCAL_CALLER, type Caller } from "../../../src/api/guard.js";

type WithoutCaller<F> = F extends (...args: [...infer A, Caller]) => infer R ? (...args: A) => R : never;

/** Every handler without its last argument, the caller. */
export function localCalls<H extends object>(handlers: H, caller: Caller = LOCAL_CALLER): { readonly [K in keyof H]: WithoutCaller<H[K]> } {
  const calls = Object.entries(handlers).map(([name, handler]) => [name, (...args: unknown[]) => (handler as (...all: unknown[]) => unknown)(...args, caller)]);
  return Object.fromEntries(calls) as { readonly [K in keyof H]: WithoutCaller<H[K]> };
}
