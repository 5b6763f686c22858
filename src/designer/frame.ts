/**
 * The fixed frame of a candidate: what every net shares under the contract (LEMUR: `supported_hyperparameters`, `Net.train_setup`,
 * `Net.learn`). The designer never writes it: `complete` adds it. That saves a third of the tokens and removes a
 * whole class of mistakes.
 */

export const IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n";

const HYPERPARAMETERS = 'def supported_hyperparameters():\n    return {"lr", "momentum", "dropout"}\n';

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

/**
 * The module that a designer's code amounts to: only its imports, definitions and constants (small models add example calls), class Net
 * last, and whatever of the frame it lacks. The code must have a class `Net`.
 */
export function complete(code: string): string {
  const imports: string[] = IMPORTS.trimEnd().split("\n");
  const definitions: string[] = [];
  let net = "";
  const lines = qualified(tidy(code)).split("\n");
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const { end } = block(lines, at);
    const text = lines.slice(at, end).join("\n");
    at = end;
    if (/^(import|from)\s/.test(line)) imports.push(...(imports.includes(text) ? [] : [text]));
    else if (/^class\s+Net\b/.test(line)) net = text;
    else if (/^(class|def|async\s+def)\s/.test(line) || isConstant(text)) definitions.push(text);
    else if (/^@/.test(line)) {
      const decorated = block(lines, at);
      definitions.push([text, ...lines.slice(at, decorated.end)].join("\n"));
      at = decorated.end;
    }
  }
  if (!definitions.some((text) => /^def\s+supported_hyperparameters\b/.test(text)))
    definitions.unshift(HYPERPARAMETERS.trimEnd());
  for (const [name, source] of Object.entries(METHODS)) {
    if (!new RegExp(`^\\s+def\\s+${name}\\b`, "m").test(net)) net += `\n\n${source.trimEnd()}`;
  }
  return `${[imports.join("\n"), ...definitions, net].join("\n\n\n")}\n`;
}

/** `WIDTHS = [16, 32]`: an assignment that calls nothing. */
const isConstant = (text: string): boolean => /^\w+\s*(:[^=]*)?=[^=]/.test(text) && !/\w\(/.test(text);

/** Layers that small models call by their bare names. */
const LAYERS =
  /(?<![\w.])(?=(?:Conv2d|Linear|(?:Batch|Group|Instance)Norm(?:2d)?|(?:Adaptive)?(?:Avg|Max)Pool2d|Dropout(?:2d)?|Flatten|Identity|Sequential|ModuleList|ReLU6?|SiLU|GELU|LeakyReLU|Hardswish|ELU|PReLU|Mish|Sigmoid|Tanh|Softplus|Hardsigmoid)\()/g;

/** `Mish()` written as `nn.Mish()`, unless the module says what it means by it. */
function qualified(code: string): string {
  return code.replace(LAYERS, (_, at: number) => {
    const name = /\w+/.exec(code.slice(at))?.[0] ?? "";
    return new RegExp(`^\\s*class\\s+${name}\\b|import.*\\b${name}\\b`, "m").test(code) ? "" : "nn.";
  });
}

/** No trailing blanks, at most two blank lines in a row, none at either end. */
function tidy(code: string): string {
  return code
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{4,}/g, "\n\n\n")
    .replace(/^\n+|\n+$/g, "");
}
