import { mount, type Component } from "svelte";
import App from "./App.svelte";
import "./styles/tokens.css";
import "./styles/base.css";

// The server sends the same document for every page; each page is a chunk of its own.
const pages: Record<string, () => Promise<{ default: Component }>> = {
  order: () => import("./order/OrderPage.svelte"),
  ride: () => import("./ride/RidePage.svelte"),
  kitchen: () => import("./kitchen/KitchenPage.svelte"),
  admin: () => import("./orders-admin/AdminPage.svelte"),
  friends: () => import("./friends/FriendsPage.svelte"),
  track: () => import("./shared-track/SharedTrackPage.svelte"),
};

const target = document.getElementById("app");
const page = pages[location.pathname.split("/")[1] ?? ""];
if (target && page) void page().then(({ default: Page }) => mount(Page, { target }));
else if (target) mount(App, { target });
