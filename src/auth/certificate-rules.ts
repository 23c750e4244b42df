// Who the bearer of a client certificate is: the operator's table from the names in certificates to principals. Whether a certificate
// is genuine, TLS has decided before.
import type { UserId } from "../core/model/ids.js";
import { isName } from "./names.js";
import type { Principal, Role } from "./principal.js";

/** What certificates with one name give. */
export interface CertificateRule {
  /** "" for the name in the certificate. */
  readonly user: string;
  readonly roles: readonly Role[];
  readonly team: string;
  /** For role agent; the user when it is empty. */
  readonly nodeIds: readonly string[];
}

/** By "CN:name", "DNS:name", "URI:name" or "email:name"; a "*" at the beginning or the end of the name stands for anything. */
export type CertificateRules = Readonly<Record<string, CertificateRule>>;

/** What is looked at of a certificate, as node:tls gives it. */
export interface PeerNames {
  readonly commonName: string;
  /** "DNS:a, URI:b"; entries in quotes have something in them that needs escapes, and count for nothing. */
  readonly subjectAltName: string;
  /** The end of its time, UTC ms: TLS looks at it once, connections live for long. */
  readonly validUntilMs: number;
}

const ALT_NAME = /(?:^|, )(DNS|URI|email|IP Address):("(?:[^"\\]|\\.)*"|[^,"]+)/g;

/** The principal by the first rule that fits any name of the certificate; null when none does. */
export function principalOfCertificate(rules: CertificateRules, names: Omit<PeerNames, "validUntilMs">): Principal | null {
  const present = namesOf(names);
  for (const [pattern, rule] of Object.entries(rules)) {
    const found = present.find((name) => fits(pattern, name));
    if (found === undefined) continue;
    const user = rule.user === "" ? found.slice(found.indexOf(":") + 1).replaceAll(":", "/") : rule.user;
    if (!isName(user)) continue;
    const nodeIds = rule.roles.includes("agent") ? (rule.nodeIds.length > 0 ? rule.nodeIds : [user]) : [];
    return { name: user as UserId, roles: rule.roles, team: rule.team, nodeIds, via: "certificate", credential: `certificate ${found}` };
  }
  return null;
}

/** Such as ["DNS:gpu-1.example", "CN:gpu-1"]. */
function namesOf({ commonName, subjectAltName }: Omit<PeerNames, "validUntilMs">): readonly string[] {
  const alternatives = [...subjectAltName.matchAll(ALT_NAME)].filter(([, , value = ""]) => !value.startsWith('"')).map(([, kind, value]) => `${kind}:${value}`);
  return commonName === "" ? alternatives : [...alternatives, `CN:${commonName}`];
}

function fits(pattern: string, name: string): boolean {
  const kind = pattern.slice(0, pattern.indexOf(":") + 1);
  if (kind === "" || !name.startsWith(kind)) return false;
  const wanted = pattern.slice(kind.length);
  const real = name.slice(kind.length);
  if (wanted.startsWith("*")) return real.length >= wanted.length && real.endsWith(wanted.slice(1));
  if (wanted.endsWith("*")) return real.length >= wanted.length && real.startsWith(wanted.slice(0, -1));
  return real === wanted;
}
