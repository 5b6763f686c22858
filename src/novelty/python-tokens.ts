import { parser } from "@lezer/python";

type SyntaxNode = ReturnType<typeof parser.parse>["topNode"];

/** Source beyond this many characters is not read: far above any module a net needs, low enough that no input takes long. */
const MAX_CHARACTERS = 200_000;

const CLASS = new Map([
  ["VariableName", "NAME"],
  ["PropertyName", "NAME"],
  ["Number", "NUMBER"],
  ["String", "STRING"],
  ["FormatString", "STRING"],
  ["ContinuedString", "STRING"],
]);
const BODY = /^(Match)?Body$/;
const COMPOUND =
  /^(If|While|For|Try|With|Match)Statement$|^(Function|Class)Definition$|^(DecoratedStatement|StatementGroup)$/;

/**
 * The tokens of a Python module with everything that does not make the program taken out:
 * - identifiers, numbers and strings become NAME, NUMBER and STRING; adjacent strings are one STRING, f-strings included;
 *   keywords and operators stay as they are;
 * - comments and strings that stand alone as a statement (docstrings) are gone;
 * - NEWLINE, INDENT and DEDENT stand where Python's tokenizer puts them in a formatted module: one statement a line, every
 *   body on lines of its own, no comma before a closing bracket. So no formatter changes the result.
 *
 * Any text has tokens: the parser recovers from errors, and what it skips is kept word by word.
 */
export function pythonTokens(code: string): string[] {
  const source = code.slice(0, MAX_CHARACTERS).replace(/\r\n?/g, "\n");
  const tokens: string[] = [];
  /** End of the source that has been turned into tokens. */
  let done = 0;

  const put = (token: string): void => {
    if (/^[)\]}]$/.test(token) && tokens.at(-1) === ",") tokens.pop();
    tokens.push(token);
  };
  const endLine = (): void => {
    if (tokens.length > 0 && !/^(NEWLINE|INDENT|DEDENT)$/.test(tokens.at(-1) as string)) put("NEWLINE");
  };
  /** What the tree has no node for: some punctuation ("->", "/" among parameters) and what broken code made the parser skip. */
  const readUpTo = (end: number): void => {
    for (const [text] of source.slice(done, end).matchAll(/[\p{L}\p{N}_]+|->|[^\s\\;]/gu)) {
      put(/^\p{N}/u.test(text) ? "NUMBER" : /^[\p{L}_]/u.test(text) ? "NAME" : text);
    }
    done = Math.max(done, end);
  };

  parser.parse(source).iterate({
    enter({ type, from, to, node }) {
      if (from > done) readUpTo(from);
      const normalised = CLASS.get(type.name);
      const gone = type.name === "Comment" || isBareString(node);
      if (gone || normalised !== undefined) {
        if (normalised !== undefined) put(normalised);
        done = to;
        return false;
      }
      if (to > done && node.firstChild === null && !type.isError) {
        const token = source.slice(from, to);
        done = to;
        if (token !== ";") put(token);
        if (token === ":" && BODY.test(node.parent?.name ?? "")) tokens.push("NEWLINE", "INDENT");
      }
      return true;
    },
    leave({ type, to }) {
      if (to > done) readUpTo(to);
      if (BODY.test(type.name)) {
        endLine();
        tokens.push("DEDENT");
      } else if (type.name === "Decorator" || (type.is("Statement") && !COMPOUND.test(type.name))) {
        endLine();
      }
    },
  });
  readUpTo(source.length);
  return tokens;
}

/** A statement that is nothing but a string, such as a docstring: it does nothing when run. */
function isBareString(node: SyntaxNode): boolean {
  if (node.name !== "ExpressionStatement") return false;
  const only = node.firstChild;
  return only !== null && only.nextSibling === null && (only.name === "String" || only.name === "ContinuedString");
}
