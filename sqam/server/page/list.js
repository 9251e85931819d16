// A listbox as the ARIA Authoring Practices have it: one option takes part in the tab order, arrows,
// Home, End and Page keys move, and the option with the focus is the selected one.

const PAGE = 5;

// Fill `element` (role="listbox") with options (role="option") and call `reset` afterwards.
//
// onSelect: called with the number of an option that becomes the selected one.
// onChoose: called with the number of an option on Enter, Space or a click.
// onLeave: called on Escape, on an arrow up from the first option, and before a letter is typed,
// which then goes wherever the focus went.
export function listbox(element, { onSelect, onChoose, onLeave }) {
  let selected = 0;
  const options = () => [...element.children];

  function mark(at) {
    selected = at;
    options().forEach((option, n) => {
      option.tabIndex = n === at ? 0 : -1;
      option.setAttribute("aria-selected", String(n === at));
    });
  }

  function select(at, focus) {
    const all = options();
    if (!all.length) return;
    mark(Math.min(Math.max(at, 0), all.length - 1));
    if (focus) all[selected].focus();
    onSelect(selected);
  }

  element.addEventListener("click", (event) => {
    const at = options().indexOf(event.target.closest('[role="option"]'));
    if (at < 0) return;
    select(at, true);
    onChoose(at);
  });

  element.addEventListener("focusin", (event) => {
    const at = options().indexOf(event.target);
    if (at >= 0 && at !== selected) select(at, false);
  });

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const to = {
      ArrowDown: selected + 1,
      ArrowUp: selected - 1,
      PageDown: selected + PAGE,
      PageUp: Math.max(selected - PAGE, 0),
      Home: 0,
      End: options().length - 1,
    }[event.key];
    if (event.key === "Escape" || to === -1) {
      event.preventDefault();
      onLeave();
    } else if (to !== undefined) {
      event.preventDefault();
      select(to, true);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!event.repeat) onChoose(selected);
    } else if ([...event.key].length === 1) {
      onLeave();
    }
  });

  return {
    go: (at) => select(at, true),
    // After the options changed: the first one is selected, and has the focus if one had it.
    reset() {
      const inside = element.contains(document.activeElement);
      if (options().length) mark(0);
      if (inside) options()[0]?.focus();
      selected = 0;
    },
    selected: () => selected,
  };
}
