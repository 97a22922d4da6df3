import { ref } from "vue";

const kept = localStorage.getItem("theme");

export const dark = ref(kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

export function shade(on: boolean): void {
  dark.value = on;
  localStorage.setItem("theme", on ? "dark" : "light");
  document.documentElement.classList.toggle("dark", on);
}

document.documentElement.classList.toggle("dark", dark.value);
