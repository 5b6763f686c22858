/** Checks and trains one module, outside of any cycle. */
import type { Trainer } from "../study/ports.ts";
import type { Failure, Protocol } from "../study/types.ts";
import type { Emit } from "./events.ts";
import type { Evaluation } from "./protocol.ts";

export async function measure(
  trainer: Trainer,
  code: string,
  protocol: Protocol,
  signal: AbortSignal,
  emit: Emit,
): Promise<Evaluation> {
  emit({ type: "ready", designer: null, trainer: trainer.info });
  const check = await trainer.check(code, signal);
  const train = check.ok
    ? await trainer.train(code, protocol, signal, (p) => emit({ type: "training", id: 0, ...p }))
    : null;
  const failure: Failure | null = !check.ok ? check.failure : train && !train.ok ? train.failure : null;
  return {
    outcome: failure?.outcome ?? "valid",
    error: failure && { message: failure.message, line: failure.line, source: failure.source },
    parameters: check.ok ? check.checked.parameters : check.parameters,
    accuracy: train?.accuracy ?? { validation: null, test: null },
    seconds: { check: check.seconds, train: train?.seconds ?? 0 },
    protocol,
  };
}
