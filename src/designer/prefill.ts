/** Joins a prefilled answer and what the model wrote after it. */

/** Whether the text ends inside a fenced code block. */
function leavesFenceOpen(text: string): boolean {
  return (text.match(/^\s*```/gm)?.length ?? 0) % 2 === 1;
}

/**
 * The answer with its prefill in front. A model whose template closes the prefilled turn starts its answer again instead of going
 * on; then its own answer is the whole one. It has started again when it repeats the prefill, or when the prefill leaves a code block
 * open and the first fence it writes opens one (```python) where only a closing one could go on.
 */
export function joinPrefill(prefill: string, continuation: string): string {
  const start = prefill.trim();
  if (start === "") return prefill + continuation;
  if (continuation.trimStart().startsWith(start)) return continuation.trimStart();
  if (leavesFenceOpen(prefill)) {
    const fence = /^[ \t]*```[ \t]*(\S*)/m.exec(continuation);
    if (fence?.[1]) return continuation.slice(fence.index);
  }
  return prefill + continuation;
}
