/** Where a text stops being JSON, counted from 1; null = it is JSON. Browsers say it each in their own words, or not at all. */
export function mistakeIn(text: string): { line: number; column: number } | null {
  let at = 0;
  const blank = (): void => { at += /^[ \t\n\r]*/.exec(text.slice(at))![0].length; };
  const take = (what: RegExp): boolean => {
    const found = what.exec(text.slice(at));
    if (found) at += found[0].length;
    return found !== null;
  };
  const list = (open: string, close: string, each: () => boolean): boolean => {
    if (text[at] !== open) return false;
    at++;
    blank();
    if (text[at] === close) return Boolean(++at);
    for (;;) {
      if (!each()) return false;
      blank();
      if (text[at] === close) return Boolean(++at);
      if (text[at] !== ",") return false;
      at++;
      blank();
    }
  };
  const string = (): boolean => take(/^"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/);
  function value(): boolean {
    blank();
    switch (text[at]) {
      case "{":
        return list("{", "}", () => {
          if (!string()) return false;
          blank();
          if (text[at] !== ":") return false;
          at++;
          return value();
        });
      case "[": return list("[", "]", value);
      case '"': return string();
      default: return take(/^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/);
    }
  }
  if (value()) {
    blank();
    if (at === text.length) return null;
  }
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
