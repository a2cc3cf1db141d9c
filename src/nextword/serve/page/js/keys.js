// @ts-check
/** The keys that work anywhere on the page. */

import { store } from './store.js';

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLElement && Boolean(target.closest('textarea, input, select'));
}

/** @param {'layer' | 'head'} name @param {number} by */
function step(name, by) {
  const { card, [name]: now } = store.state;
  if (!card || now === null) return;
  const count = name === 'layer' ? card.n_layers : card.n_heads;
  const next = Math.min(count - 1, Math.max(0, now + by));
  if (next !== now) store.select({ [name]: next });
}

/** @type {Record<string, () => void>} */
const PLAIN = {
  '[': () => step('layer', -1),
  ']': () => step('layer', 1),
  ',': () => step('head', -1),
  '.': () => step('head', 1),
};

/** Esc closes the inspector first, then ends a preview, then climbs. */
function escape() {
  if (document.querySelector('#inspector')) {
    document.dispatchEvent(new CustomEvent('nw-close'));
  } else if (store.state.hover) {
    store.hover(null);
  } else {
    store.climb();
  }
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey) return;
  if (event.altKey) {
    const panel = /^Digit([1-9])$/.exec(event.code);
    const heading = panel && document.querySelector(`#panel-${panel[1]} h2`);
    if (!(heading instanceof HTMLElement)) return;
    event.preventDefault();
    heading.focus();
    heading.scrollIntoView({ block: 'start' });
  } else if (event.key === 'Escape' && !typing(event.target)) {
    escape();
  } else if (!typing(event.target) && Object.hasOwn(PLAIN, event.key)) {
    event.preventDefault();
    PLAIN[event.key]();
  }
}

export function listen() {
  document.addEventListener('keydown', pressed);
}
