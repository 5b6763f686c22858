/**
 * HTTP with the waits of this area: `fetch` gives a server 300 s to send its headers, and a model may load or queue for longer. It never
 * goes through a proxy when the host is this machine, as node:http knows none.
 */
import http from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";

export interface HttpRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Readable;
  signal: AbortSignal;
  /** Milliseconds until the connection must stand. */
  connectMs: number;
  /** Milliseconds without a byte, before or after the headers, that end the request; null: no limit. */
  idleMs: number | null;
  /** How many redirects are followed. */
  redirects?: number;
}

/** The server could not be reached, or fell silent, within the time given. Its `code` is like those of system errors. */
export class HttpTimeout extends Error {
  readonly code: "ETIMEDOUT" | "ESTALLED";
  constructor(code: "ETIMEDOUT" | "ESTALLED", message: string) {
    super(message);
    this.code = code;
  }
}

/** @throws the system's error (with its `code`), HttpTimeout, or an AbortError. */
export async function httpFetch(address: string, options: HttpRequest): Promise<Response> {
  const response = await request(address, options);
  const location = response.headers.get("location");
  if (response.status < 300 || response.status >= 400 || response.status === 304 || location === null) return response;
  await response.body?.cancel();
  const left = options.redirects ?? 0;
  if (left <= 0) throw new Error(`${address} redirects to ${location}`);
  return httpFetch(new URL(location, address).href, { ...options, redirects: left - 1 });
}

function request(address: string, options: HttpRequest): Promise<Response> {
  const { method = "GET", headers, body, signal, connectMs, idleMs } = options;
  return new Promise((resolve, reject) => {
    const url = new URL(address);
    const client = url.protocol === "https:" ? https : http;
    // A connection of its own: a kept-alive one may be closed by the server just as it is used again.
    // Said in every case: with a DELETE, Node would send the body without it.
    const length = typeof body === "string" ? { "Content-Length": String(Buffer.byteLength(body)) } : {};
    const outgoing = client.request(url, { method, headers: { ...headers, ...length }, signal, agent: false });
    const connecting = setTimeout(() => {
      outgoing.destroy(new HttpTimeout("ETIMEDOUT", `No connection to ${url.host} within ${connectMs / 1000} s`));
    }, connectMs);
    outgoing.on("socket", (socket) => {
      socket.setKeepAlive(true, 30_000);
      socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => clearTimeout(connecting));
    });
    if (idleMs !== null) {
      outgoing.setTimeout(idleMs, () => {
        outgoing.destroy(new HttpTimeout("ESTALLED", `${url.host} sent nothing for ${idleMs / 1000} s`));
      });
    }
    outgoing.on("close", () => clearTimeout(connecting));
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => resolve(asResponse(incoming)));
    if (body instanceof Readable) {
      body.on("error", (error) => outgoing.destroy(error));
      body.pipe(outgoing);
    } else outgoing.end(body);
  });
}

function asResponse(incoming: http.IncomingMessage): Response {
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const status = incoming.statusCode ?? 0;
  const hasBody = status !== 204 && status !== 205 && status !== 304;
  if (!hasBody) incoming.resume();
  const body = hasBody ? (Readable.toWeb(incoming) as ReadableStream<Uint8Array>) : null;
  return new Response(body, { status, headers, statusText: incoming.statusMessage ?? "" });
}

/** The system's code of an error, wherever it hides. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as Error & { code?: unknown }).code;
  if (typeof code === "string") return code;
  if (error instanceof AggregateError) return error.errors.map(codeOf).find((found) => found !== undefined);
  return codeOf(error.cause);
}
