import { ref, shallowRef, type Ref } from "vue";

export interface Act { busy: Ref<boolean>; error: Ref<unknown>; run: (what: () => Promise<unknown>) => Promise<boolean>; clear: () => void }

/** One thing that a person does at a time. run reports whether it worked; why not is in error. */
export function acting(): Act {
  const busy = ref(false), error = shallowRef<unknown>(null);
  async function run(what: () => Promise<unknown>): Promise<boolean> {
    if (busy.value) return false;
    busy.value = true;
    error.value = null;
    try {
      await what();
      return true;
    } catch (e) {
      error.value = e;
      return false;
    } finally {
      busy.value = false;
    }
  }
  return { busy, error, run, clear: () => { error.value = null; } };
}
