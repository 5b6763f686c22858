import { UserError } from "../study/ports.ts";

/** Turns a file system error into one that says what to do. */
export function fileError(error: unknown, attempt: string): UserError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const remedies: Record<string, string> = {
    ENOSPC: "The disk is full. Free some space and try again.",
    // What a recursive mkdir says on a read-only disk.
    ENOENT: "The disk is read-only. Use a folder that can be written.",
    EROFS: "The disk is read-only. Use a folder that can be written.",
    EACCES: "Permission is refused. Use a folder of your own.",
    EPERM: "Permission is refused. Use a folder of your own.",
  };
  const remedy = remedies[code] ?? (error as Error).message;
  return new UserError(code === "ENOSPC" ? "disk-full" : "file", `Cannot ${attempt}. ${remedy}`, { cause: error });
}
