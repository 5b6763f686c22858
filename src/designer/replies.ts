/** How a reply is read: from whatever a small model wrote to the module it means, or the reason why it means none. */
import type { DesignMode, Failure, Reply } from "../study/types.ts";
import { applyDiff } from "./diffs.ts";
import { classSpan, complete, methodSpan } from "./frame.ts";

export type Reading = { code: string } | { failure: Failure };

/**
 * The module that a reply amounts to, with the fixed frame added. `base` is the parent in delta mode, for the repair as well (`repairPrompt`
 * asks the first question again, so its diff is one on the parent too), and null in full mode. On a base, a reply may be a unified
 * diff, a whole module, or single classes that take the place of the base's.
 */
export function readReply(reply: Reply, mode: DesignMode, base: string | null): Reading {
  const texts = fences(reply.text);
  const module = texts.map(renameNet).findLast((text) => classSpan(text.split("\n"), "Net") !== null);
  if (module !== undefined && !isDiff(module)) return readModule(module, reply);
  const diff = texts.findLast(isDiff);
  if (mode === "delta" && base !== null && diff !== undefined) return readDiff(diff, base, reply);
  const classes = texts.findLast((text) => /^class\s+\w/m.test(text));
  if (base !== null && classes !== undefined && reply.finish === "stop")
    return { code: complete(replaceClasses(base, classes)) };
  const wanted = mode === "delta" ? "neither a unified diff nor a class" : "no class Net";
  return noCode(`${wanted} in the reply${cutOff(reply)}; it begins: ${excerpt(reply.text)}`);
}

/** `code` with each class of `text` in the place of the class of its name, or before Net when it is new. */
function replaceClasses(code: string, text: string): string {
  let lines = code.split("\n");
  const source = text.split("\n");
  for (const match of text.matchAll(/^class\s+(\w+)/gm)) {
    const name = match[1] ?? "";
    const span = classSpan(source, name);
    if (!span) continue;
    const old = classSpan(lines, name);
    const written = source.slice(span.start, span.end);
    const at = old ?? {
      start: classSpan(lines, "Net")?.start ?? lines.length,
      end: classSpan(lines, "Net")?.start ?? lines.length,
    };
    lines = [...lines.slice(0, at.start), ...written, ...(old ? [] : ["", ""]), ...lines.slice(at.end)];
  }
  return lines.join("\n");
}

function readModule(module: string, reply: Reply): Reading {
  let lines = module.split("\n");
  // An answer that ran into its limit ends in the middle of a line: that line goes, and what it leaves must be whole.
  if (reply.finish === "length") lines = lines.slice(0, -1);
  const net = classSpan(lines, "Net");
  const forward = net && methodSpan(lines, net, "forward");
  if (!forward) return noCode(`class Net has no forward method${cutOff(reply)}`);
  if (reply.finish === "length") {
    const last = lines.findLast((line) => /^class\s+\w/.test(line))?.match(/\w+/g)?.[1] ?? "Net";
    const span = classSpan(lines, last);
    const method = span && methodSpan(lines, span, "forward");
    if (!method || !lines.slice(method.start, method.end).some((line) => /^\s*return\b/.test(line))) {
      return noCode(`class ${last} is unfinished${cutOff(reply)}`);
    }
  }
  return { code: complete(lines.join("\n")) };
}

function readDiff(diff: string, parent: string, reply: Reply): Reading {
  const applied = applyDiff(parent, diff);
  if ("problem" in applied) return noCode(`the diff does not apply: ${applied.problem}${cutOff(reply)}`);
  return { code: complete(applied.text) };
}

const isDiff = (text: string): boolean => /^(@@|--- |\+\+\+ )/m.test(text) || /^[+-] {2,}\S/m.test(text);

/** The contents of all code fences, the unclosed last one included; the whole text when there are none. */
export function fences(text: string): string[] {
  const found: string[] = [];
  let current: string[] | null = null;
  for (const line of text.replaceAll("\r\n", "\n").split("\n")) {
    const fence = /^\s*(?:```|~~~)\s*(\w*)/.exec(line);
    if (fence) {
      if (current) found.push(current.join("\n"));
      // A fence that names a language opens a block, even inside one that was never closed.
      current = current && !fence[1] ? null : [];
    } else current?.push(line);
  }
  if (current) found.push(current.join("\n"));
  return found.length > 0 ? found : [unprose(text.replaceAll("\r\n", "\n"))];
}

/** Code without a fence: from its first line that is Python (or a diff) on. */
function unprose(text: string): string {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => /^(import\s|from\s+\S+\s+import|class\s+\w|def\s+\w|@@|--- )/.test(line));
  return start < 0 ? text : lines.slice(start).join("\n");
}

/** A net under another name (`class SmallNet(nn.Module)` with `in_shape`) becomes `Net`. */
function renameNet(code: string): string {
  const lines = code.split("\n");
  if (classSpan(lines, "Net")) return code;
  for (const match of [...code.matchAll(/^class\s+(\w+)/gm)].reverse()) {
    const name = match[1] ?? "";
    const span = classSpan(lines, name);
    if (span && lines.slice(span.start, span.end).some((line) => /def\s+__init__\(.*\bin_shape\b/.test(line))) {
      return code.replaceAll(new RegExp(`\\b${name}\\b`, "g"), "Net");
    }
  }
  return code;
}

const cutOff = (reply: Reply): string => (reply.finish === "length" ? ` (cut off after ${reply.tokens} tokens)` : "");

const excerpt = (text: string): string => JSON.stringify(text.trim().slice(0, 60));

function noCode(message: string): Reading {
  return { failure: { outcome: "no-code", message, line: null, source: null } };
}
