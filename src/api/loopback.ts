// Keeps the servers on this machine unless callers say who they are and what they say is encrypted. Used by both servers.
import { isIPv4 } from "node:net";

/** What makes an address safe that others can reach. */
export interface Exposure {
  /** Callers must say who they are. */
  readonly authenticated: boolean;
  /** What they say is encrypted, here or by a proxy in front. */
  readonly encrypted: boolean;
}

/** Whether a host name or address, without port, always means this machine. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return name === "localhost" || name === "::1" || name === "[::1]" || (isIPv4(name) && name.startsWith("127."));
}

/** Throws, with what to do, unless `host` is a loopback address or may be reached by others. */
export function requireSafeAddress(host: string, { authenticated, encrypted }: Exposure): void {
  if (isLoopback(host) || (authenticated && encrypted && host !== "")) return;
  const cannot = `cannot listen on ${JSON.stringify(host)}: `;
  if (!authenticated || host === "") {
    throw new Error(
      `${cannot}authentication is not configured; only loopback addresses are allowed. ` +
        "Use 127.0.0.1, ::1 or localhost, or make a first key with `gpu-router keys create --role admin --data DIR` and configure tls.",
    );
  }
  throw new Error(
    `${cannot}keys and payloads would travel in plain text. Set tls.cert and tls.key, or tls.terminated_by_proxy where a proxy in front of the router speaks TLS.`,
  );
}

/** A host and port as one address: "127.0.0.1:50051", "[::1]:50051". */
export function hostAndPort(host: string, port: number): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}
