// How clients and agents show a router who they are: key and certificate, and what they take for a genuine router. Reads files when they
// are needed, so that new ones count from the next connection on.
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { credentials, Metadata, type ChannelCredentials } from "@grpc/grpc-js";

/** Where credentials come from; "" for none. */
export interface CredentialSources {
  /** The key itself. */
  readonly key: string;
  /** A file with the key, where `key` is "". */
  readonly keyFile: string;
  /** A file with the authority that the router's certificate is from, in PEM; "system" for those that this machine trusts. Plain text when "". */
  readonly ca: string;
  /** Files with a certificate of one's own and its key, in PEM. */
  readonly cert: string;
  readonly certKey: string;
}

export const NO_CREDENTIALS: CredentialSources = { key: "", keyFile: "", ca: "", cert: "", certKey: "" };

/** Throws, with what to do, when a file cannot be read. */
export function channelCredentials({ ca, cert, certKey }: CredentialSources): ChannelCredentials {
  if (ca === "") return credentials.createInsecure();
  const own = cert === "" ? ([null, null] as const) : ([contentOf(certKey), contentOf(cert)] as const);
  return credentials.createSsl(ca === "system" ? null : contentOf(ca), ...own);
}

/** What goes with every call. Throws when a key would travel in plain text to another machine, or cannot be read. */
export function callMetadata(sources: CredentialSources, address: string): Metadata {
  const metadata = new Metadata();
  const key = sources.key || (sources.keyFile === "" ? "" : contentOf(sources.keyFile).toString().trim());
  if (key === "") return metadata;
  if (sources.ca === "" && !isHere(address)) {
    throw new Error(`the key would travel to ${address} in plain text: say with --ca FILE (or router.ca_file of an agent) whose certificate the router has; "system" takes those that this machine trusts`);
  }
  // Only what a header can hold, or grpc-js would show it in its complaint.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("the key holds characters that no key has: give the one line that `gpu-router keys create` printed");
  metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

/** Whether an address surely is on this machine. */
function isHere(address: string): boolean {
  if (address.startsWith("unix:")) return true;
  const host = address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}
