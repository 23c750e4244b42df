// The names in a client's certificate, from what node:tls gives. Used by both servers; called only for certificates that TLS has verified.
import type { PeerCertificate } from "node:tls";
import type { PeerNames } from "../auth/certificate-rules.js";

export function peerNames({ subject, subjectaltname, valid_to: validTo }: PeerCertificate): PeerNames {
  // With several common names node gives a list, and which one is meant nobody can say.
  const commonName: unknown = subject?.CN;
  return { commonName: typeof commonName === "string" ? commonName : "", subjectAltName: subjectaltname ?? "", validUntilMs: Date.parse(validTo) || 0 };
}
