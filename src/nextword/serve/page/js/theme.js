// @ts-check
/** Light or dark: by preference, or by the switch, which is remembered. */

const KEY = 'nextword.theme';
const ORDER = /** @type {const} */ (['auto', 'light', 'dark']);
const dark = matchMedia('(prefers-color-scheme: dark)');

/** @typedef {typeof ORDER[number]} Theme */

/** @returns {Theme} */
export function remembered() {
  try {
    const found = localStorage.getItem(KEY);
    return found === 'light' || found === 'dark' ? found : 'auto';
  } catch {
    return 'auto'; // a browser may forbid storage, above all for files
  }
}

/** @param {Theme} theme */
export function apply(theme) {
  const { dataset } = document.documentElement;
  if (theme === 'auto') delete dataset.theme;
  else dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // the choice then lasts as long as the page
  }
  changed();
}

/**
 * @param {Theme} theme
 * @returns {Theme}
 */
export function after(theme) {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
}

/** Canvases hold colours of their own: they are told to draw anew. */
function changed() {
  window.dispatchEvent(new CustomEvent('nw-theme'));
}

dark.addEventListener('change', changed);
