// Tabs as the ARIA Authoring Practices have them: one of them takes part in the tab order, arrows,
// Home and End move, and what has the focus is shown.

// Return {show(name)}; `shown` is called with a tab's name, "rank" of "tab-rank", when it is shown.
export function tabs(list, shown) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  const name = (tab) => tab.id.slice("tab-".length);
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function select(tab) {
    for (const one of all) {
      const selected = one === tab;
      one.setAttribute("aria-selected", String(selected));
      one.tabIndex = selected ? 0 : -1;
      panel(one).hidden = !selected;
    }
    shown(name(tab));
  }

  for (const tab of all) tab.addEventListener("click", () => select(tab));

  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const to = {
      ArrowLeft: (at + all.length - 1) % all.length,
      ArrowRight: (at + 1) % all.length,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[to].focus();
    select(all[to]);
  });

  return {
    show(wanted) {
      select(all.find((tab) => name(tab) === wanted));
    },
  };
}
