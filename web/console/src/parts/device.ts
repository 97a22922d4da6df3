const browsers: readonly (readonly [name: string, mark: RegExp])[] = [["WeChat", /MicroMessenger/], ["Edge", /Edg(?:A|iOS)?\//], ["Opera", /OPR\//], ["Samsung Internet", /SamsungBrowser/], ["Firefox", /Firefox|FxiOS/], ["Chrome", /Chrome|CriOS/], ["Safari", /Safari/]];
const systems: readonly (readonly [name: string, mark: RegExp])[] = [["HarmonyOS", /HarmonyOS|OpenHarmony/], ["Android", /Android/], ["iPhone", /iPhone/], ["iPad", /iPad/], ["Windows", /Windows/], ["macOS", /Mac OS X|Macintosh/], ["Linux", /Linux/]];

/** What a person calls a device by its User-Agent; what is none of a browser stays as it is. */
export function deviceName(agent: string): string {
  const of = (list: typeof browsers): string => list.find(([, mark]) => mark.test(agent))?.[0] ?? "";
  return [of(browsers), of(systems)].filter(Boolean).join(" · ") || agent.slice(0, 90);
}
