/**
 * How many threads to compute with. llama.cpp's threads wait for each other by spinning, some five hundred times a token: where another
 * program wants the same cores, each wait costs a time slice, and two threads are many times slower than one.
 */

export interface Load {
  /** Processor time of this process over wall time: the cores it really had. */
  had: number;
  /** Cores of the machine that had nothing to do. */
  idle: number;
}

/** The next number of threads, of at most `most`: one fewer when they did not all run, one more when a core lies idle. */
export function nextThreads(threads: number, most: number, load: Load): number {
  if (load.had < threads * 0.85) return Math.max(1, threads - 1);
  if (load.idle > 0.7) return Math.min(most, threads + 1);
  return threads;
}
