/**
 * The fixed frame of a candidate: what every net shares under the contract (LEMUR: `supported_hyperparameters`, `Net.train_setup`,
 * `Net.learn`). The designer never writes it: the answer is prefilled with HEAD and ends where TAIL begins. That saves a third
 * of the tokens and removes a whole class of mistakes.
 */

export const IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n";

const HYPERPARAMETERS = 'def supported_hyperparameters():\n    return {"lr", "momentum", "dropout"}\n';

export const HEAD = `${IMPORTS}\n\n${HYPERPARAMETERS}`;

const METHODS = {
  train_setup: `    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])
`,
  learn: `    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3.0)
            self.optimizer.step()
`,
};

/** Half-open range of lines. */
interface Span {
  start: number;
  end: number;
}

const indentOf = (line: string): number => line.length - line.trimStart().length;
const isBlank = (line: string): boolean => line.trim() === "";

/** The block that starts at line `start`: up to the next line indented no deeper, without the blank lines that follow it. */
function block(lines: readonly string[], start: number): Span {
  const indent = indentOf(lines[start] ?? "");
  let end = start + 1;
  for (let i = start + 1; i < lines.length; i++) {
    const line = lines[i] ?? "";
    if (isBlank(line)) continue;
    // A closing bracket at the left edge still belongs to the statement above it.
    if (indentOf(line) <= indent && !/^\s*[)\]}]/.test(line)) break;
    end = i + 1;
  }
  return { start, end };
}

function find(lines: readonly string[], pattern: RegExp, within: Span): Span | null {
  for (let i = within.start; i < within.end; i++) if (pattern.test(lines[i] ?? "")) return block(lines, i);
  return null;
}

/** The class `name` of a module, as a range of lines; null when there is none. */
export function classSpan(lines: readonly string[], name: string): Span | null {
  return find(lines, new RegExp(`^class\\s+${name}\\b`), { start: 0, end: lines.length });
}

/** Method `name` inside a class, as a range of lines; null when there is none. */
export function methodSpan(lines: readonly string[], within: Span, name: string): Span | null {
  return find(lines, new RegExp(`^\\s+(?:async\\s+)?def\\s+${name}\\b`), within);
}

/** The part of a net that its designer writes: classes and functions without the frame. What exemplars and parents show. */
export function architecture(code: string): string {
  let lines = code.split("\n");
  const drop = (span: Span | null): void => {
    if (span) lines = lines.filter((_, i) => i < span.start || i >= span.end);
  };
  for (const method of Object.keys(METHODS)) {
    const net = classSpan(lines, "Net");
    if (net) drop(methodSpan(lines, net, method));
  }
  drop(find(lines, /^def\s+supported_hyperparameters\b/, { start: 0, end: lines.length }));
  lines = lines.filter((line) => !IMPORTS.includes(`${line}\n`) || isBlank(line));
  return `${tidy(lines.join("\n"))}\n`;
}

/** Adds whatever of the frame a module lacks. The module must have a class `Net`. */
export function complete(code: string): string {
  let body = tidy(code);
  const missing = IMPORTS.trimEnd()
    .split("\n")
    .filter((line) => !body.split("\n").includes(line));
  const preamble: string[] = [];
  if (missing.length > 0) preamble.push(missing.join("\n"));
  if (!/^def\s+supported_hyperparameters\b/m.test(body)) {
    if (missing.length > 0) preamble.push(HYPERPARAMETERS.trimEnd());
    else body = afterImports(body, HYPERPARAMETERS.trimEnd());
  }
  const lines = [...preamble, body].join("\n\n\n").split("\n");
  for (const [name, source] of Object.entries(METHODS)) {
    const net = classSpan(lines, "Net");
    if (net && !methodSpan(lines, net, name)) lines.splice(net.end, 0, "", ...source.trimEnd().split("\n"));
  }
  return `${tidy(lines.join("\n"))}\n`;
}

function afterImports(code: string, text: string): string {
  const lines = code.split("\n");
  const last = lines.findLastIndex((line) => /^(import|from)\s/.test(line));
  lines.splice(last + 1, 0, "", "", text, "");
  return lines.join("\n");
}

/** No trailing blanks, at most two blank lines in a row, none at either end. */
function tidy(code: string): string {
  return code
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{4,}/g, "\n\n\n")
    .replace(/^\n+|\n+$/g, "");
}
