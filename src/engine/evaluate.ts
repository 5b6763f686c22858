/** Checks and trains one module, outside of any cycle. */
import { similarity } from "../novelty/index.ts";
import { type Trainer, UserError } from "../study/ports.ts";
import type { Failure, Protocol, Similarity } from "../study/types.ts";
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

interface NamedNet {
  file: string;
  code: string;
}

/** How similar two nets are. @throws UserError "net-invalid" for one that fails its check: only what runs has a structure. */
export async function compareNets(
  trainer: Trainer,
  [a, b]: [NamedNet, NamedNet],
  signal: AbortSignal,
): Promise<Similarity> {
  const traced = async ({ file, code }: NamedNet) => {
    const result = await trainer.check(code, signal);
    if (result.ok) return { code, checked: result.checked };
    const { outcome, message, line } = result.failure;
    const where = line ? `${file}:${line}` : file;
    throw new UserError("net-invalid", `${where} cannot be compared, it fails its check: ${outcome}, ${message}`);
  };
  return similarity(await traced(a), await traced(b));
}
