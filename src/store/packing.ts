/** How values become columns and come back. */
import { deflateRawSync, inflateRawSync } from "node:zlib";

export const now = () => new Date().toISOString();

export const toJson = (value: unknown) => (value === null ? null : JSON.stringify(value));
export const fromJson = <T>(json: string | null) => (json === null ? null : (JSON.parse(json) as T));

/** Prompts and graphs repeat themselves: deflated they take a fourth to a tenth of the room. */
export const pack = (value: unknown) => deflateRawSync(JSON.stringify(value));
export const unpack = <T>(blob: Uint8Array) => JSON.parse(inflateRawSync(blob).toString()) as T;
