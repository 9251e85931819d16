// The page: its tabs, the link of what it shows, and the buttons that hold everywhere.

import { blend } from "./blend.js";
import { copyText } from "./copy.js";
import { byId } from "./dom.js";
import { emojify } from "./emojify.js";
import { picturesWanted, showPictures } from "./emojis.js";
import { imagine } from "./imagine.js";
import { readLink, settleLink, writeLink } from "./link.js";
import { pictures } from "./pictures.js";
import { rank } from "./rank.js";
import { tabs } from "./tabs.js";
import { toast } from "./toast.js";

const changed = () => writeLink(active.id, active.link());

const ranking = rank(changed);
const panels = new Map(
  [
    ranking,
    emojify(changed),
    imagine(changed, ranking.text),
    blend(changed),
    pictures(changed, ranking.text),
  ].map((panel) => [panel.id, panel]),
);
const opened = new Set();
let active = ranking;
let asked = new URLSearchParams();

const bar = tabs(byId("tabs"), (id) => {
  if (active.id !== id) {
    active.close?.();
    scrollTo(0, 0);
  }
  active = panels.get(id);
  document.title = `${byId(`tab-${id}`).textContent.trim()} – emoji-sqam`;
  if (asked || !opened.has(id)) active.open(asked ?? new URLSearchParams());
  else changed();
  opened.add(id);
});

function follow() {
  const { tab, parameters } = readLink();
  asked = parameters;
  bar.show(panels.has(tab) ? tab : "rank");
  asked = null;
}

addEventListener("hashchange", follow);

byId("link").addEventListener("click", () => {
  settleLink();
  copyText(location.href, "the link to this");
});

const ours = byId("ours");

async function toggle(wanted) {
  ours.setAttribute("aria-busy", "true");
  try {
    await showPictures(wanted);
    ours.setAttribute("aria-pressed", String(wanted));
  } catch {
    toast("The pictures could not be read; the font stays");
  }
  ours.removeAttribute("aria-busy");
}

ours.addEventListener("click", () => toggle(ours.getAttribute("aria-pressed") !== "true"));

follow();
if (active === ranking) ranking.focus();
if (picturesWanted()) toggle(true);
