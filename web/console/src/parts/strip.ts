export type Tone = "success" | "abnormal" | "failure";
export interface Moment { at: number; tone: Tone }
export interface Mark { at: number; name: string }
export interface Bar { at: number; n: number; x: number; width: number; parts: { tone: Tone; y: number; height: number }[] }

const width = 600, bottom = 95, high = 84, most = 60;

/** Moments as at most 60 bars of equal time on a strip of 600 by 96, and marks at their own moments. */
export function strip(moments: readonly Moment[], marks: readonly Mark[]): { from: number; to: number; bars: Bar[]; marks: (Mark & { x: number })[] } {
  const all = [...moments, ...marks].map((m) => m.at);
  let from = Math.min(...all), to = Math.max(...all);
  if (to - from < 60e3) [from, to] = [from - 30e3, to + 30e3]; // one moment stands in the middle of a minute
  const each = (to - from) / most, bins = new Map<number, Map<Tone, number>>();
  for (const m of moments) {
    const bin = Math.min(most - 1, Math.floor((m.at - from) / each)), of = bins.get(bin) ?? new Map<Tone, number>();
    of.set(m.tone, (of.get(m.tone) ?? 0) + 1);
    bins.set(bin, of);
  }
  const sum = (of: Map<Tone, number>): number => [...of.values()].reduce((a, b) => a + b, 0);
  const tallest = Math.max(1, ...[...bins.values()].map(sum)), step = width / most;
  const bars = [...bins].sort(([a], [b]) => a - b).map(([bin, of]) => {
    let y = bottom;
    const parts = (["success", "abnormal", "failure"] as const).filter((t) => of.has(t)).map((tone) => {
      const height = (high * of.get(tone)!) / tallest;
      y -= height;
      return { tone, y, height };
    });
    return { at: from + bin * each, n: sum(of), x: bin * step + 1, width: step - 2, parts };
  });
  return { from, to, bars, marks: marks.map((m) => ({ ...m, x: (width * (m.at - from)) / (to - from) })) };
}
