/** How long the rest of a cycle takes, from what its candidates took so far. */

export interface Pace {
  planned: number;
  /** Candidates that need no more of the designer. */
  designed: number;
  finished: number;
  /** Seconds of every ended design (with its repair) and every ended training. */
  designSeconds: readonly number[];
  trainSeconds: readonly number[];
  designParallel: number;
  trainParallel: number;
}

/** Seconds left, or null before the first design has ended. Designs and trainings overlap: the slower lane decides. */
export function secondsLeft(pace: Pace): number | null {
  const { planned, designed, finished, designSeconds, trainSeconds } = pace;
  if (finished >= planned) return 0;
  if (designSeconds.length === 0) return null;
  const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / Math.max(1, values.length);
  const trainedShare = designed === 0 ? 1 : Math.min(1, trainSeconds.length / Math.max(1, finished));
  const designLane = ((planned - designed) * mean(designSeconds)) / pace.designParallel;
  const trainEach = mean(trainSeconds);
  const trainLane = ((planned - finished) * trainedShare * trainEach) / pace.trainParallel;
  return Math.max(designLane + (designLane > 0 ? trainEach : 0), trainLane);
}
