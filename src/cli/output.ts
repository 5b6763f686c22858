/** What the command line prints: results on stdout (or JSON), progress on stderr. */
import type { EngineEvent } from "../engine/events.ts";
import { decisionAccuracy } from "../study/admission.ts";
import type { Candidate, CycleSummary, Generation, ProbeScore } from "../study/types.ts";
import { decimal, EMPTY, percent } from "../study/units.ts";

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printText(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** 95 -> "1 min 35 s". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** Left-aligned first column, right-aligned numbers, no frame: reads well in a terminal and pastes well elsewhere. */
export function table(header: string[], rows: string[][], leftColumns: number[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) =>
        leftColumns.includes(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

export function candidateTable(candidates: readonly Candidate[]): string {
  const rows = candidates.map((c) => [
    String(c.id),
    c.name,
    `${c.outcome ?? "under way"}${c.repaired ? " (repaired)" : ""}`,
    percent(decisionAccuracy(c.accuracy)),
    decimal(c.novelty.text),
    decimal(c.novelty.structure),
    c.parameters === null ? EMPTY : c.parameters.toLocaleString("en"),
    `${Math.round(c.seconds.design)}+${Math.round(c.seconds.check)}+${Math.round(c.seconds.train)}`,
    verdict(c),
  ]);
  const header = ["id", "name", "outcome", "accuracy", "text", "structure", "parameters", "seconds d+c+t", "review"];
  return table(header, rows, [1, 2, 8]);
}

function verdict(candidate: Candidate): string {
  if (candidate.accepted === true) return "accepted";
  if (candidate.accepted === false) return candidate.reason ? `rejected: ${candidate.reason}` : "rejected";
  return candidate.proposed ? "proposed" : "";
}

export function summaryLine(summary: CycleSummary): string {
  const { cycle, candidates, valid, newAndValid, meanAccuracy, bestAccuracy, proposed, accepted } = summary;
  return (
    `Cycle ${cycle}: ${valid} of ${candidates} valid, ${newAndValid} of them structurally new; accuracy mean ${percent(meanAccuracy)}, ` +
    `best ${percent(bestAccuracy)}; ${proposed} proposed, ${accepted} accepted.`
  );
}

/** What became of a generation, in a line. */
export function generationLine({ generation, state, probe, error }: Generation): string {
  const score = ({ newAndValid, questions }: ProbeScore) => `${newAndValid} of ${questions}`;
  const said = probe
    ? `: new and valid ${score(probe.own)}, its parent ${score(probe.parent)}`
    : error
      ? `: ${error}`
      : "";
  return `Generation ${generation} ${state}${said}.`;
}

/** Progress for people: one line that is rewritten on a terminal, a line per event of note elsewhere. */
export class ProgressLine {
  readonly #terminal = process.stderr.isTTY === true;
  readonly #started = Date.now();
  #counts = "";
  #shown = "";
  readonly #saidSetups = new Set<string>();
  #lastTuning = "";

  handle(event: EngineEvent): void {
    switch (event.type) {
      case "setup":
        this.#setup(event);
        break;
      case "note":
        this.#say(event.message);
        break;
      case "ready": {
        const { designer, trainer } = event;
        if (designer)
          this.#say(
            `Designer: ${designer.model} through ${designer.provider} on ${designer.device}, ${designer.parallel} at once`,
          );
        this.#say(
          `Trainer: ${trainer.deviceName}, PyTorch ${trainer.torch}, sandbox: ${trainer.sandbox.join(" + ") || "none"}`,
        );
        break;
      }
      case "cycle-started":
        this.#say(
          `Cycle ${event.cycle} ${event.resumed ? "goes on" : "starts"}: ${event.planned} candidates, mode ${event.mode}`,
        );
        break;
      case "stage":
        if (event.stage === "repairing" && event.because)
          this.#say(`  ${event.name}: ${event.because.outcome}, ${event.because.message}; asking for a repair`);
        break;
      case "training":
        this.#status(`${this.#counts} | batch ${event.batch} of ${event.batches}`);
        break;
      case "candidate": {
        const { candidate: c } = event;
        const figures =
          c.outcome === "valid"
            ? `accuracy ${percent(decisionAccuracy(c.accuracy))}, novelty text ${decimal(c.novelty.text)} structure ${decimal(c.novelty.structure)}`
            : c.error?.message;
        this.#say(`  ${c.name}: ${c.outcome}, ${figures}`);
        break;
      }
      case "progress": {
        const left = event.secondsLeft === null ? "" : `, about ${duration(event.secondsLeft)} left`;
        this.#counts = `designed ${event.designed}/${event.planned}, trained ${event.trained}, done ${event.finished}/${event.planned}${left}`;
        this.#status(this.#counts);
        break;
      }
      case "tuning":
        this.#tuning(event);
        break;
      case "generation":
        this.#say(generationLine(event.generation));
        break;
      case "text":
        break;
    }
  }

  /** Ends the rewritten line. */
  close(): void {
    this.#status("");
  }

  #tuning({ generation, stage, step, steps, losses, secondsLeft }: Extract<EngineEvent, { type: "tuning" }>): void {
    const loss = losses.at(-1);
    const left = secondsLeft === null ? "" : `, about ${duration(secondsLeft)} left`;
    const text = `generation ${generation}: ${stage} ${step} of ${steps}${left}${loss ? `, loss ${loss.training.toFixed(3)}` : ""}`;
    if (this.#terminal) {
      this.#status(text);
      return;
    }
    // Elsewhere a line an epoch.
    const held = losses.findLast(({ heldOut }) => heldOut !== null)?.heldOut;
    const heldOut = held === undefined || held === null ? "" : `, held out ${held.toFixed(3)}`;
    const news = stage === "training" && loss ? `training, epoch ${loss.epoch}${heldOut}${left}` : stage;
    const key = `${stage} ${loss?.epoch ?? 0} ${heldOut}`;
    if (key !== this.#lastTuning) this.#say(`Generation ${generation}: ${news}`);
    this.#lastTuning = key;
  }

  #setup({ what, done, total, unit }: Extract<EngineEvent, { type: "setup" }>): void {
    if (this.#terminal) {
      const amount = unit === "bytes" ? `${(done / 2 ** 20).toFixed(0)} MiB` : `${done} ${unit}`;
      const share = total ? ` ${Math.floor((100 * done) / total)} %` : "";
      this.#status(`${what}: ${amount}${share}`);
    } else if (!this.#saidSetups.has(what)) {
      // Parts are set up side by side: each is named once, however their reports alternate.
      this.#saidSetups.add(what);
      this.#say(what);
    }
  }

  #say(message: string): void {
    const shown = this.#shown;
    this.#status("");
    process.stderr.write(
      this.#terminal ? `${message}\n` : `[${duration((Date.now() - this.#started) / 1000)}] ${message}\n`,
    );
    this.#status(shown);
  }

  #status(text: string): void {
    if (!this.#terminal) return;
    const cut = text.slice(0, (process.stderr.columns ?? 80) - 1);
    process.stderr.write(`\r\x1b[K${cut}`);
    this.#shown = text;
  }
}
