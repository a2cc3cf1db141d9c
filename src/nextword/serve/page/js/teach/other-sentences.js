// @ts-check
/** The sentences that a lesson should leave as they are: the user's own, or held-out ones. */

import { api } from '../api.js';

/**
 * @typedef {{key: string, turns: string[], ids: number[] | null, own: boolean,
 *   cut: boolean, whole: string | null, before: any, after: any}} Other `before` and `after` are
 *   readings, as of /api/read; `cut` where the text goes on, `whole` what more is known of it
 */

const MOST = 12;

/** @param {string} name of the model */
const placeOf = (name) => `nextword.others.${name}`;

/** @param {string} name @returns {string[]} */
export function own(name) {
  try {
    const found = JSON.parse(localStorage.getItem(placeOf(name)) ?? '[]');
    return Array.isArray(found) ? found.filter((text) => typeof text === 'string') : [];
  } catch {
    return []; // a browser may forbid storage
  }
}

/** @param {string} name @param {string[]} texts the newest last; at most 12 are kept */
function remember(name, texts) {
  try {
    localStorage.setItem(placeOf(name), JSON.stringify(texts.slice(-MOST)));
  } catch {
    // they then last as long as the page
  }
}

/** @param {string} name @param {string} text */
export function add(name, text) {
  remember(name, [...own(name).filter((known) => known !== text), text]);
}

/** @param {string} name @param {string} text */
export function drop(name, text) {
  remember(name, own(name).filter((known) => known !== text));
}

/**
 * The user's own sentences, or else those that the server draws from held-out text.
 * @param {string} name @returns {Promise<Other[]>}
 */
export async function gathered(name) {
  const texts = own(name);
  const empty = { cut: false, whole: null, before: null, after: null };
  if (texts.length) {
    return texts.map((text) => ({ key: text, turns: [text], ids: null, own: true, ...empty }));
  }
  const { sentences } = await api.others();
  return sentences.map((/** @type {any} */ { ids, turns, text, cut, whole }) =>
    ({ key: ids.join(), turns: turns ?? [text], ids, own: false, ...empty, cut,
      whole }));
}

/**
 * Every sentence read with the weights as they are now. One that cannot be read is left as it is.
 * @param {Other[]} others @param {'before' | 'after'} when
 * @returns {Promise<Other[]>}
 */
export async function readAll(others, when) {
  const rest = when === 'before' ? { after: null } : {};
  return Promise.all(others.map(async (other) => {
    const asked = other.ids ? api.readIds(other.ids) : api.readText(other.turns, 'auto');
    return { ...other, ...rest, [when]: await asked.catch(() => null) };
  }));
}
