import { createApp } from "vue";
import App from "./App.vue";
import { words } from "./words/index.ts";
import { router } from "./router.ts";
import "./style.css";

createApp(App).use(words).use(router).mount("#app");
