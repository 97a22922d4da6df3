import { ref, shallowRef, type Ref } from "vue";

export interface List<T> { rows: Ref<T[]>; cursor: Ref<string | null>; loading: Ref<boolean>; error: Ref<unknown>; first: () => Promise<void>; more: () => Promise<void> }

/** A list that the server pages: what was asked last wins, also when it is answered first. */
export function paged<T>(ask: (cursor: string | undefined) => Promise<{ rows: T[]; cursor: string | null }>): List<T> {
  const rows = shallowRef<T[]>([]), cursor = ref<string | null>(null), loading = ref(false), error = shallowRef<unknown>(null);
  let turn = 0;
  async function page(after: string | undefined): Promise<void> {
    const mine = ++turn;
    loading.value = true;
    error.value = null;
    try {
      const got = await ask(after);
      if (mine !== turn) return;
      rows.value = after === undefined ? got.rows : [...rows.value, ...got.rows];
      cursor.value = got.cursor;
    } catch (e) {
      if (mine === turn) error.value = e;
    } finally {
      if (mine === turn) loading.value = false;
    }
  }
  return { rows, cursor, loading, error, first: () => page(undefined), more: () => page(cursor.value ?? undefined) };
}
