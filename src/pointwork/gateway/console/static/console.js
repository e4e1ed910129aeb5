// Keys, ages, the theme switch and live rows. Every page works without it.
"use strict";

const main = document.getElementById("main");
const rows = () => [...document.querySelectorAll("[data-row]")];
const field = (node) => node instanceof Element && node.closest("input, textarea, select, [contenteditable]");

/* Theme */
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) return;
  const root = document.documentElement;
  const systems = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset.theme || systems) === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* it stands for this page */ }
});

/* Keys */
const keys = document.getElementById("keys");
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys]")) keys.showModal();
});

let afterG = 0;
function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
  const link = next.querySelector("a.open") || next;
  link.focus();
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (field(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (keys.open) return;
  if (afterG && Date.now() - afterG < 1500) {
    afterG = 0;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const search = document.querySelector("[data-search]");
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "g") afterG = Date.now();
  else if (event.key === "?") keys.showModal();
  else if (event.key === "/" && search) { event.preventDefault(); search.focus(); search.select(); }
});

/* Ages */
function ageWords(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}
function showAges() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const age = time.querySelector(".age");
    if (!age) continue;
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    age.textContent = seconds < 0 ? `in ${ageWords(-seconds)}` : `${ageWords(seconds)} ago`;
  }
}
setInterval(showAges, 5000);

/* Live */
const told = document.querySelector("[data-live-state]");
const liveUrl = document.body.dataset.live;
let source = null;
let wasOpen = false;
let soon = 0;

function parsedRow(html) {
  const holder = document.createElement("template");
  holder.innerHTML = `<table><tbody>${html}</tbody></table>`;
  return holder.content.querySelector("[data-row]");
}

function takeRow(event) {
  const { id, html, matches } = JSON.parse(event.data);
  const body = document.querySelector("[data-rows]");
  if (!body) return;
  const fresh = parsedRow(html);
  const old = body.querySelector(`[data-row="${CSS.escape(id)}"]`);
  if (old) {
    const bare = (row) => row.textContent.replace(/\d+ (s|min|h|d) ago/, "").replace(/\s+/g, " ");
    if (bare(old) === bare(fresh)) return;
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (hadFocus) fresh.querySelector("a.open").focus({ preventScroll: true });
  } else {
    const newest = body.querySelector("time");
    const isNewer = !newest || fresh.querySelector("time").dateTime >= newest.dateTime;
    if (!matches || document.body.dataset.takesNew !== "yes" || !isNewer) return;
    body.prepend(fresh);
    document.querySelector("[data-table]").hidden = false;
    document.querySelector("[data-empty]")?.remove();
  }
  fresh.classList.add("changed");
}

async function reloadMain() {
  const active = document.activeElement;
  const typed = [...main.querySelectorAll("textarea, input:not([type=hidden])")].some((each) => each.value);
  if (typed || (active && active !== document.body && main.contains(active) && field(active))) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
  if (!next) return;
  const opened = [...main.querySelectorAll("details[id][open]")].map((each) => each.id);
  const focused = active && main.contains(active) ? active.id : "";
  main.replaceChildren(...next.childNodes);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function takeState(event) {
  const { state } = JSON.parse(event.data);
  clearTimeout(soon);
  // Several at once are one reason to look again.
  soon = setTimeout(() => {
    if (main.querySelector("[data-state]")?.dataset.state !== state) reloadMain();
  }, 200);
}

function openLive() {
  if (!liveUrl || source || document.hidden) return;
  source = new EventSource(liveUrl);
  source.addEventListener("open", () => {
    if (wasOpen) reloadMain();
    wasOpen = true;
    told.textContent = "live";
    told.className = "live on";
  });
  source.addEventListener("error", () => { told.textContent = "reconnecting"; told.className = "live off"; });
  source.addEventListener("row", takeRow);
  source.addEventListener("state", takeState);
  source.addEventListener("signed-out", () => location.reload());
}

// A browser keeps few connections to one host: pages that nobody looks at give theirs back.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) { openLive(); return; }
  source?.close();
  source = null;
});
addEventListener("pagehide", () => source?.close());
if (told) openLive();
