// Why a port cannot be had, with what to do. Used by both servers.

const ADVICE: Readonly<Record<string, (option: string) => string>> = {
  EADDRINUSE: (option) => `another program has this port, perhaps another gpu-router: stop it, or take another one with ${option} (0: any that is free)`,
  EACCES: (option) => `this account may not listen there: take a port above 1023 with ${option}`,
  EADDRNOTAVAIL: () => "this machine has no such address: set api.host to one that it has, such as 127.0.0.1",
};

/** `what` is the protocol, `option` what sets its port, such as "--grpc-port". The words of `error` stay where there is no advice. */
export function listenFailure(address: string, what: string, option: string, error: Error): Error {
  const code = Object.keys(ADVICE).find((each) => error.message.includes(each)) ?? "";
  const advice = ADVICE[code]?.(option);
  return new Error(`cannot listen on ${address} for ${what}: ${advice === undefined ? error.message : `${code}, ${advice}`}`, { cause: error });
}
