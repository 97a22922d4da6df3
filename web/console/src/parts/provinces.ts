// Where a province stands in the tile grid: roughly where it is on the map, all of one size.
const tiles: readonly (readonly [zh: string, en: string, column: number, row: number])[] = [
  ["黑龙江", "heilongjiang", 9, 1], ["新疆", "xinjiang", 1, 2], ["内蒙古", "inner mongolia", 6, 2], ["辽宁", "liaoning", 8, 2], ["吉林", "jilin", 9, 2],
  ["甘肃", "gansu", 3, 3], ["宁夏", "ningxia", 4, 3], ["山西", "shanxi", 5, 3], ["河北", "hebei", 6, 3], ["北京", "beijing", 7, 3], ["天津", "tianjin", 8, 3],
  ["西藏", "tibet", 1, 4], ["青海", "qinghai", 2, 4], ["四川", "sichuan", 3, 4], ["陕西", "shaanxi", 4, 4], ["河南", "henan", 5, 4], ["山东", "shandong", 6, 4], ["江苏", "jiangsu", 7, 4],
  ["重庆", "chongqing", 4, 5], ["湖北", "hubei", 5, 5], ["安徽", "anhui", 6, 5], ["浙江", "zhejiang", 7, 5], ["上海", "shanghai", 8, 5],
  ["云南", "yunnan", 3, 6], ["贵州", "guizhou", 4, 6], ["湖南", "hunan", 5, 6], ["江西", "jiangxi", 6, 6], ["福建", "fujian", 7, 6],
  ["广西", "guangxi", 4, 7], ["广东", "guangdong", 5, 7], ["香港", "hong kong", 6, 7], ["台湾", "taiwan", 8, 7], ["海南", "hainan", 4, 8], ["澳门", "macao", 5, 8],
];

export interface Tile { name: string; short: string; column: number; row: number; n: number }

/** Puts counts on the grid by the province that a place names first; what names none is given back as the rest. */
export function onGrid(counts: readonly { place: string; n: number }[], zh: boolean): { tiles: Tile[]; rest: { place: string; n: number }[] } {
  const grid = tiles.map(([cn, en, column, row]) => {
    const name = zh ? cn : en.replace(/\b\w/g, (c) => c.toUpperCase());
    return { name, short: zh ? cn.slice(0, 2) : name.slice(0, 4), column, row, n: 0, cn, en };
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
