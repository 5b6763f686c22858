/** Command-line entry: the same engine without an editor. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type Context, run } from "./cli/context.ts";
import { cycleCommand } from "./cli/cycle.ts";
import { compareCommand, evaluateCommand } from "./cli/evaluate.ts";
import { exportCommand, importCommand } from "./cli/exchange.ts";
import { reportCommand } from "./cli/report.ts";
import { acceptCommand, listCommand, rejectCommand, showCommand, statusCommand } from "./cli/review.ts";
import { doctorCommand, initCommand, setupCommand } from "./cli/setup.ts";
import { generationsCommand, type RunOptions, runCommand, tuneCommand } from "./cli/tune.ts";
import { OUTCOMES } from "./study/types.ts";

const program = new Command("netwright")
  .description(
    "A local LLM designs neural networks. Each design is checked, compared for novelty, trained for one epoch and\n" +
      "recorded; you accept the ones worth keeping.",
  )
  .option("--study <dir>", "the study's folder (default: the nearest folder upward with a netwright.json)")
  .option("--json", "print JSON: one object, or one object per line while a command goes on")
  .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
  .addHelpText(
    "after",
    `
First steps:
  netwright doctor              what is found here, what is missing and how to mend it
  netwright init my-study       make a study
  netwright cycle --study my-study --candidates 8
  netwright list --study my-study
  netwright accept 12 14 --study my-study
  netwright tune --study my-study          the accepted nets make a better designer

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 cancelled. Progress goes to stderr, results to stdout.`,
  );

const wholeNumber = (text: string) => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("a whole number is needed.");
  return Number(text);
};
const count = (text: string) => {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError("a whole number above 0 is needed.");
  return value;
};
const positiveNumber = (text: string) => {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("a number above 0 is needed.");
  return value;
};
const modeOption = () =>
  new Option("--mode <mode>", "whole files, or diffs against a parent (default: the study's)").choices([
    "full",
    "delta",
  ]);
const ids = (text: string, before: number[] = []) => [...before, wholeNumber(text)];

/** Gives a command the options that every command knows, wherever on the line they stand. */
function command(name: string, summary: string, hidden = false): Command {
  return program
    .command(name, { hidden })
    .description(summary)
    .option("--study <dir>", "the study's folder (default: the nearest folder upward with a netwright.json)")
    .option("--json", "print JSON");
}

/** Runs a command's body with the common options, cancellation and exit codes. */
function action<Rest extends unknown[]>(body: (context: Context, ...rest: Rest) => Promise<void>) {
  return async (...args: unknown[]) => {
    const self = args.pop() as Command;
    const options = self.optsWithGlobals<{ study?: string; json?: boolean }>();
    await run({ study: options.study ?? null, json: options.json === true }, (context) =>
      body(context, ...(args as Rest)),
    );
  };
}

command("init", "make a study: a folder with a netwright.json to edit")
  .argument("[dir]", "where (default: the folder of --study, else this one)")
  .option("--name <name>", "the study's name (default: the folder's)")
  .option(
    "--data <data>",
    "cifar10, fashion-mnist, digits; a folder or archive with CIFAR-10; auto: CIFAR-10 if it can be had, else digits",
    "cifar10",
  )
  .addOption(
    new Option("--protocol <protocol>", "how nets are measured").choices(["validation", "paper"]).default("validation"),
  )
  .option(
    "--train-images <n>",
    "train on so many images only (default: all; without a GPU 10000, but all of the digits and with --protocol paper)",
    wholeNumber,
  )
  .action(action(initCommand));

command("setup", "install what a study needs: the Python environment, the embedded model, the data")
  .option("--dry-run", "only say what would be installed")
  .action(action(setupCommand));

command("doctor", "what is found, what is missing, how to mend it").action(action(doctorCommand));

command("status", "the study in a few lines").action(action(statusCommand));

command("cycle", "run one cycle: design, check, compare, train, record")
  .option("--candidates <n>", "how many nets to design", count, 8)
  .addOption(modeOption())
  .option("--seed <n>", "seed of the cycle (default: the study's)", wholeNumber)
  .option("--resume", "continue the interrupted cycle; without one, start a new one")
  .action(action(cycleCommand));

/** What a new run is begun with. */
const BEGINNING = ["cycles", "hours", "total", "candidates", "mode", "seed", "tune"];
command("run", "run cycle after cycle within a budget, tuning the designer between them")
  .option("--cycles <n>", "at most so many cycles", count)
  .option("--hours <h>", "begin no cycle after so many hours", positiveNumber)
  .option("--total <n>", "at most so many candidates in all", count)
  .option("--candidates <n>", "how many nets each cycle designs", count, 8)
  .addOption(modeOption())
  .option("--seed <n>", "seed of the cycles (default: the study's)", wholeNumber)
  .option("--no-tune", "leave the designer as it is")
  .addOption(
    new Option("--pause", "have the run that is under way end after its cycle").conflicts([...BEGINNING, "resume"]),
  )
  .addOption(
    new Option("--resume", "take the pause back, or go on with a run that was paused or stopped").conflicts(BEGINNING),
  )
  .hook("preAction", (run) => {
    const given: RunOptions = run.opts();
    if (given.pause || given.resume || given.cycles || given.hours || given.total) return;
    run.error("error: say how long to go on: --cycles N, --hours H or --total N (candidates)");
  })
  .action(action(runCommand));

command("tune", "tune the designer on the accepted nets (LoRA), probe it, and use it if it is at least as good")
  .option("--plan", "only say what it would take")
  .option("--restart", "give up a run that was stopped, and begin anew")
  .action(action(tuneCommand));

command("generations", "the tuned designers; --use makes one of them design, --delete frees its disk")
  .option("--use <n>", "the generation that designs from now on; 0: the model as it is", wholeNumber)
  .option("--delete <n>", "delete a generation's adapter, in Ollama too; its figures stay", wholeNumber)
  .action(action(generationsCommand));

command("list", "the candidates")
  .option("--cycle <n>", "of one cycle", wholeNumber)
  .addOption(new Option("--outcome <outcome>", "with one outcome").choices(OUTCOMES))
  .option("--accepted", "accepted ones only")
  .option("--proposed", "proposed ones only, not yet reviewed")
  .action(action(listCommand));

command("show", "everything about one candidate")
  .argument("<id>", "its number in the list", wholeNumber)
  .option("--code", "its code only")
  .option("--prompt", "what the designer was asked")
  .option("--reply", "what the designer answered")
  .action(action(showCommand));

command("accept", "accept candidates: they join the data set")
  .argument("<id...>", "numbers from the list", ids)
  .action(action(acceptCommand));

command("reject", "reject candidates")
  .argument("<id...>", "numbers from the list", ids)
  .option("--reason <text>", "why, for the record")
  .action(action(rejectCommand));

command("export", "write the accepted nets as a LEMUR data set")
  .requiredOption("--lemur <dir>", "where")
  .action(action(exportCommand));

command("report", "write the study's report: one HTML page, Markdown, and the figures as JSON")
  .option("--out <dir>", "where (default: the folder report in the study's)")
  .option("--untuned <dir>", "a study whose designer was never tuned, to show beside this one")
  .action(action(reportCommand));

command("import", "read nets of a LEMUR data set into cycle 0 and measure them")
  .requiredOption("--lemur <dir>", "a folder that holds ab/nn/nn/*.py")
  .action(action(importCommand));

command("evaluate", "check and train a net of your own")
  .argument("<file>", "a Python file with the class Net")
  .option(
    "--data <data>",
    "cifar10, fashion-mnist, digits, or a folder or archive with CIFAR-10 (default: the study's, else cifar10)",
  )
  .addOption(
    new Option("--protocol <protocol>", "how it is measured (default: the study's)").choices(["validation", "paper"]),
  )
  .action(action(evaluateCommand));

command("compare", "how similar two nets are, by text and by structure")
  .argument("<a>", "a Python file with the class Net")
  .argument("<b>", "another")
  .action(action(compareCommand));

function throwOnExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) throwOnExit(sub);
}

// A closed pipe (`netwright list | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
});
throwOnExit(program);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
