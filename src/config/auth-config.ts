// The sections `auth` and `tls` of the router's configuration: who may call, and what is encrypted. Part of `router-config.ts`.
import { z } from "zod";
import type { AuditRetention } from "../auth/audit-log.js";
import type { CertificateRule, CertificateRules } from "../auth/certificate-rules.js";
import { NAME_ALLOWED, isName } from "../auth/names.js";
import { ROLES } from "../auth/principal.js";
import type { TokenRules } from "../auth/token-check.js";

const role = z.enum(ROLES);
const name = z.string().refine(isName, NAME_ALLOWED);
const DAY_MS = 86_400_000;

export const authSection = z
  .strictObject({
    required: z.boolean().default(false),
    jwt: z
      .strictObject({
        issuer: z.string().default(""),
        audience: z.string().default(""),
        jwks: z.string().refine(isKeySource, "must be an https URL, an http one on loopback, or a file").default(""),
        user_claim: z.string().min(1).default("sub"),
        roles_claim: z.string().min(1).default("roles"),
        team_claim: z.string().default(""),
        roles: z.record(z.string(), role).default({}),
        default_role: z.enum([...ROLES, "none"]).default("user"),
        clock_tolerance: z.number().min(0).max(300).default(30),
      })
      .refine(({ issuer, audience, jwks }) => new Set([issuer === "", audience === "", jwks === ""]).size === 1, "issuer, audience and jwks belong together: give all of them, or none")
      .prefault({}),
    client_certificates: z
      .record(
        z.string().regex(/^(CN|DNS|URI|email|IP Address):(\*?[^*]+|[^*]+\*|\*)$/, 'must be "CN:name", "DNS:name", "URI:name" or "email:name", with "*" at one end at most'),
        z.strictObject({ user: name.optional(), roles: z.array(role).min(1), team: name.optional(), nodes: z.array(name).max(1_024).default([]) }),
      )
      .default({}),
    max_streams_per_user: z.int().min(1).max(1_000_000).default(10_000),
    audit: z.strictObject({ keep_days: z.number().min(1).max(3_650).default(90), keep_entries: z.int().min(1_000).max(100_000_000).default(1_000_000) }).prefault({}),
  })
  .prefault({});

export const tlsSection = z
  .strictObject({
    cert: z.string().default(""),
    key: z.string().default(""),
    client_ca: z.string().default(""),
    require_client_cert: z.boolean().default(false),
    terminated_by_proxy: z.boolean().default(false),
  })
  .refine(({ cert, key }) => (cert === "") === (key === ""), "cert and key belong together: give both, or none")
  .refine(({ cert, client_ca }) => client_ca === "" || cert !== "", { path: ["client_ca"], message: "needs cert and key: certificates of clients come with TLS" })
  .refine(({ client_ca, require_client_cert }) => !require_client_cert || client_ca !== "", { path: ["require_client_cert"], message: "needs client_ca, which says which ones are genuine" })
  .refine(({ cert, terminated_by_proxy }) => !terminated_by_proxy || cert === "", { path: ["terminated_by_proxy"], message: "goes without cert and key" })
  .prefault({});

/** Who may call. */
export interface AuthConfig {
  /** Callers must say who they are though there is neither key nor user yet. */
  readonly required: boolean;
  /** Of no effect when its issuer is "". */
  readonly tokens: TokenRules;
  readonly certificates: CertificateRules;
  /** That one user may have open at a time. */
  readonly maxStreamsPerUser: number;
  readonly audit: AuditRetention;
}

/** What is encrypted. Files in PEM; "" for none. */
export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
  readonly requireClientCert: boolean;
  readonly terminatedByProxy: boolean;
}

export function authOf(file: z.output<typeof authSection>): AuthConfig {
  const { jwt, audit } = file;
  return {
    required: file.required,
    tokens: {
      issuer: jwt.issuer,
      audience: jwt.audience,
      jwks: jwt.jwks,
      userClaim: jwt.user_claim,
      rolesClaim: jwt.roles_claim,
      teamClaim: jwt.team_claim,
      roles: jwt.roles,
      defaultRole: jwt.default_role,
      clockToleranceMs: jwt.clock_tolerance * 1_000,
    },
    certificates: Object.fromEntries(
      Object.entries(file.client_certificates).map(([pattern, { user = "", roles, team = "", nodes }]): [string, CertificateRule] => [pattern, { user, roles, team, nodeIds: nodes }]),
    ),
    maxStreamsPerUser: file.max_streams_per_user,
    audit: { keepForMs: audit.keep_days * DAY_MS, keepAtMost: audit.keep_entries },
  };
}

export function tlsOf(file: z.output<typeof tlsSection>): TlsConfig {
  return { cert: file.cert, key: file.key, clientCa: file.client_ca, requireClientCert: file.require_client_cert, terminatedByProxy: file.terminated_by_proxy };
}

/** Keys from elsewhere must come unchanged: encrypted, or from this machine. */
function isKeySource(text: string): boolean {
  if (!/^[a-z]+:\/\//i.test(text)) return true;
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(hostname));
}
