/** Questions to an Ollama server: where it is, one request, and its failures for people. */
import { Ollama } from "ollama";
import { UserError } from "../../study/ports.ts";
import { codeOf, httpFetch } from "../http.ts";
import { abortError } from "../progress.ts";

export const CONNECT_MS = 5000;
/** How long a server may think about a question that needs no model. */
export const ANSWER_MS = 10_000;
/** A server that says nothing for so long is stuck: others' questions, and long ones on a slow processor, come before this. */
export const SILENT_MS = 15 * 60_000;

/**
 * Where Ollama is: `host`, else OLLAMA_HOST, else this machine. Takes what OLLAMA_HOST takes: host, host:port, :port, a URL; 0.0.0.0
 * and ::, which a server listens on, mean this machine to a client.
 * @throws UserError "ollama-host-invalid"
 */
export function ollamaAddress(host: string | null, environment: NodeJS.ProcessEnv = process.env): string {
  const given = (host ?? environment.OLLAMA_HOST ?? "").trim().replace(/^["']|["']$/g, "");
  if (given === "") return "http://127.0.0.1:11434";
  const scheme = /^[a-z]+:\/\//i.exec(given)?.[0].toLowerCase();
  const rest = given.slice(scheme?.length ?? 0);
  const bracketed = /^[0-9a-f:]*::?[0-9a-f:]*$/i.test(rest) && rest.split(":").length > 2 ? `[${rest}]` : rest;
  const text = `${scheme ?? "http://"}${bracketed.startsWith(":") ? `127.0.0.1${bracketed}` : bracketed}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UserError(
      "ollama-host-invalid",
      `"${given}" is no address of an Ollama server; write host:port or http://host:port.`,
    );
  }
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1";
  if (url.hostname === "[::]") url.hostname = "[::1]";
  const port = url.port || (scheme === undefined ? "11434" : url.protocol === "https:" ? "443" : "80");
  const login = url.username === "" ? "" : `${url.username}${url.password === "" ? "" : `:${url.password}`}@`;
  return `${url.protocol}//${login}${url.hostname}:${port}${url.pathname.replace(/\/$/, "")}`;
}

/** What a server answers in place of the thing asked for. */
export class ServerError extends Error {
  readonly status: number;
  /** Whether it said so the way Ollama does. */
  readonly ollama: boolean;
  constructor(status: number, message: string, ollama: boolean) {
    super(message);
    this.status = status;
    this.ollama = ollama;
  }
}

/**
 * A client for one request: the library's own abort() reaches a request only after its headers, and is the same for all requests of a
 * client. Answers that are not Ollama's are told apart here, before the library prints them.
 */
function client(address: string, signal: AbortSignal, idleMs: number | null): Ollama {
  const fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = input instanceof Request ? input.url : String(input);
    const response = await httpFetch(url, {
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      ...(typeof init.body === "string" ? { body: init.body } : {}),
      // The library's own signal fires when a stream is given up, and so must reach the connection too.
      signal: init.signal ? AbortSignal.any([signal, init.signal]) : signal,
      connectMs: CONNECT_MS,
      idleMs,
    });
    const json = /json/.test(response.headers.get("content-type") ?? "");
    if (response.ok && json) return response;
    const text = response.ok ? "" : await response.text();
    await response.body?.cancel().catch(() => {});
    const error = errorOf(text);
    throw new ServerError(response.status, error ?? `${response.status} ${response.statusText}`, error !== null);
  };
  return new Ollama({ host: address, fetch });
}

export function errorOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "error" in value && typeof value.error === "string")
      return value.error;
  } catch {
    // Not JSON: not Ollama's.
  }
  return null;
}

/** The same failure for people. `model` is the one asked for, where one was. */
export function explain(error: unknown, address: string, model: string | null, signal: AbortSignal): Error {
  if (signal.aborted) return abortError(signal);
  if (error instanceof UserError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const told = (name: string, text: string) => new UserError(name, text, { cause: error });
  if (code === "ECONNREFUSED") {
    return told(
      "ollama-not-running",
      `No Ollama is running at ${address}. Start it ("ollama serve"), or set "designer.provider" to "llama.cpp".`,
    );
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    const host = new URL(address).hostname;
    return told("ollama-host-not-found", `There is no host ${host}. Correct "designer.host" or OLLAMA_HOST.`);
  }
  if (["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"].includes(code ?? "")) {
    return told(
      "ollama-host-not-found",
      `${address} cannot be reached (${message}). Check "designer.host" and the network.`,
    );
  }
  if (code === "ESTALLED") {
    return told("ollama-refused", `${address} does not answer (${message}). Check that an Ollama listens there.`);
  }
  if (error instanceof ServerError) {
    if (error.ollama && error.status === 404 && model !== null) return missing(address, model, error);
    if (error.ollama && /context length/.test(message)) {
      return told(
        "prompt-too-long",
        `The question alone is longer than question and answer may be. Raise "designer.contextTokens", or lower "designer.exemplars".`,
      );
    }
    if (error.ollama && error.status !== 401 && error.status !== 403) {
      return told("ollama-error", `Ollama at ${address} says: ${message}. Its own log tells more.`);
    }
    return told(
      "ollama-refused",
      `${address} refuses or is no Ollama (${message}). Correct "designer.host" or OLLAMA_HOST, or what stands before it.`,
    );
  }
  // Not what it should have been at all: an HTTP server of another kind, or none.
  if (error instanceof SyntaxError || error instanceof TypeError || code?.startsWith("HPE_")) {
    return told(
      "ollama-refused",
      `${address} does not answer as an Ollama does (${message}). Correct "designer.host".`,
    );
  }
  const lost =
    ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(code ?? "") ||
    /^aborted$|^terminated$/.test(message);
  if (lost || /Did not receive done|unexpected EOF|runner process|connection reset|forcibly closed/.test(message)) {
    return told(
      "ollama-stopped",
      `Ollama at ${address} stopped in the middle of its answer (${message}). Start it again and resume; its own log may tell why.`,
    );
  }
  return told("ollama-error", `Ollama at ${address} says: ${message}. Its own log tells more.`);
}

export function missing(address: string, model: string, cause?: unknown): UserError {
  return new UserError(
    "ollama-model-missing",
    `Ollama at ${address} has no model ${model}. Name another in "designer.model", or pull it with: netwright setup`,
    { cause },
  );
}

/** One request, with its failures for people. */
export async function ask<T>(
  address: string,
  model: string | null,
  signal: AbortSignal,
  idleMs: number | null,
  body: (ollama: Ollama) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw abortError(signal);
  try {
    return await body(client(address, signal, idleMs));
  } catch (error) {
    throw explain(error, address, model, signal);
  }
}
