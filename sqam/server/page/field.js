// A field for a sentence: it grows with its text, Enter does something, arrow down goes on.

// Wrap a <textarea rows="1">.
//
// onInput: called when the text changed; onEnter: on Enter (with Shift it makes a line); onDown: on
// an arrow down where the caret can go no further.
export function field(element, { onInput, onEnter, onDown }) {
  const clear = element.parentElement.querySelector(".clear");

  function fit() {
    if (clear) clear.hidden = !element.value;
    if (CSS.supports("field-sizing", "content")) return;
    element.style.setProperty("block-size", "auto");
    element.style.setProperty("block-size", `${element.scrollHeight}px`);
  }

  element.addEventListener("input", () => {
    fit();
    onInput();
  });

  element.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" && !event.shiftKey && onEnter) {
      event.preventDefault();
      if (!event.repeat) onEnter();
    } else if (event.key === "ArrowDown" && !event.shiftKey && onDown) {
      const { value, selectionEnd } = element;
      const line = Number.parseFloat(getComputedStyle(element).lineHeight);
      const one = element.scrollHeight < 1.5 * line + 2 * padding(element);
      if (!one && selectionEnd < value.length) return;
      event.preventDefault();
      onDown();
    }
  });

  clear?.addEventListener("click", () => {
    element.value = "";
    fit();
    onInput();
    element.focus();
  });

  addEventListener("resize", fit);
  fit();

  return {
    element,
    value: () => element.value,
    set(value) {
      element.value = value;
      fit();
    },
    focus({ select = false } = {}) {
      element.focus();
      if (select) element.select();
    },
  };
}

const padding = (element) => Number.parseFloat(getComputedStyle(element).paddingTop);
