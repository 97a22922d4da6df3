// Where a province stands in the tile grid: roughly where it is on the map, all of one size; with its letters of ISO 3166-2.
const tiles: readonly (readonly [zh: string, en: string, letters: string, column: number, row: number])[] = [
  ["黑龙江", "heilongjiang", "HL", 9, 1], ["新疆", "xinjiang", "XJ", 1, 2], ["内蒙古", "inner mongolia", "NM", 6, 2], ["辽宁", "liaoning", "LN", 8, 2], ["吉林", "jilin", "JL", 9, 2],
  ["甘肃", "gansu", "GS", 3, 3], ["宁夏", "ningxia", "NX", 4, 3], ["山西", "shanxi", "SX", 5, 3], ["河北", "hebei", "HE", 6, 3], ["北京", "beijing", "BJ", 7, 3], ["天津", "tianjin", "TJ", 8, 3],
  ["西藏", "tibet", "XZ", 1, 4], ["青海", "qinghai", "QH", 2, 4], ["四川", "sichuan", "SC", 3, 4], ["陕西", "shaanxi", "SN", 4, 4], ["河南", "henan", "HA", 5, 4], ["山东", "shandong", "SD", 6, 4], ["江苏", "jiangsu", "JS", 7, 4],
  ["重庆", "chongqing", "CQ", 4, 5], ["湖北", "hubei", "HB", 5, 5], ["安徽", "anhui", "AH", 6, 5], ["浙江", "zhejiang", "ZJ", 7, 5], ["上海", "shanghai", "SH", 8, 5],
  ["云南", "yunnan", "YN", 3, 6], ["贵州", "guizhou", "GZ", 4, 6], ["湖南", "hunan", "HN", 5, 6], ["江西", "jiangxi", "JX", 6, 6], ["福建", "fujian", "FJ", 7, 6],
  ["广西", "guangxi", "GX", 4, 7], ["广东", "guangdong", "GD", 5, 7], ["香港", "hong kong", "HK", 6, 7], ["台湾", "taiwan", "TW", 8, 7], ["海南", "hainan", "HI", 4, 8], ["澳门", "macao", "MO", 5, 8],
];

export interface Tile { name: string; short: string; column: number; row: number; n: number }

/** Puts counts on the grid by the province that a place names first; what names none is given back as the rest. */
export function onGrid(counts: readonly { place: string; n: number }[], zh: boolean): { tiles: Tile[]; rest: { place: string; n: number }[] } {
  const grid = tiles.map(([cn, en, letters, column, row]) => {
    const name = zh ? cn : en.replace(/\b\w/g, (c) => c.toUpperCase());
    return { name, short: zh ? cn.slice(0, 2) : letters, column, row, n: 0, cn, en };
  });
  const rest: { place: string; n: number }[] = [];
  for (const c of counts) {
    const text = ` ${c.place.toLowerCase().replace("macau", "macao")}`;
    const where = (t: (typeof grid)[number]): number => Math.min(...[t.cn, t.en].map((name) => text.indexOf(` ${name}`)).filter((at) => at >= 0));
    const at = grid.reduce((best, t) => (where(t) < where(best) ? t : best), grid[0]!);
    if (where(at) < Infinity) at.n += c.n;
    else rest.push(c);
  }
  return { tiles: grid.map(({ name, short, column, row, n }) => ({ name, short, column, row, n })), rest };
}
