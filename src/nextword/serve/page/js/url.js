// @ts-check
/** The selection as an address: `#read?text=…&mode=auto&position=3&layer=2&head=5`. */

/** From the whole to the one head: each step names one more number. */
export const LEVELS = /** @type {const} */ (['sentence', 'position', 'layer', 'head']);
const NUMBERS = /** @type {const} */ (['position', 'layer', 'head', 'token', 'against']);
const LONGEST = 2000; // characters of text, or of token ids, that an address carries

/**
 * The level of the last place that is named; −1 where none is.
 * @param {{position?: number | null, layer?: number | null, head?: number | null}} at
 */
export function deepest(at) {
  return LEVELS.findLastIndex((level) => level !== 'sentence' && at[level] != null);
}

/**
 * A place kept below a count; null where there is none.
 * @param {number | null | undefined} value @param {number} count @param {number} otherwise
 */
export function within(value, count, otherwise) {
  if (count <= 0) return null;
  return Math.min(count - 1, Math.max(0, value ?? otherwise));
}

/**
 * @param {string} hash
 * @returns {{tab: 'read' | 'reply', turns: string[] | null, ids: number[] | null,
 *   mode: 'auto' | 'dialogue' | 'text', position: number | null, layer: number | null,
 *   head: number | null, token: number | null, against: number | null}}
 */
export function readUrl(hash) {
  const [tab, query = ''] = hash.replace(/^#/, '').split('?');
  const fields = new URLSearchParams(query);
  const mode = fields.get('mode');
  const turns = fields.getAll('text');
  const ids = fields.get('ids') ?? '';
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, whole(fields.get(name))]));
  return {
    tab: tab === 'reply' ? 'reply' : 'read',
    turns: turns.length ? turns : null,
    ids: /^\d{1,9}(,\d{1,9})*$/.test(ids) ? ids.split(',').map(Number) : null,
    mode: mode === 'dialogue' || mode === 'text' ? mode : 'auto',
    .../** @type {Record<typeof NUMBERS[number], number | null>} */ (numbers),
  };
}

/** @param {string | null} text */
function whole(text) {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/**
 * Words that no text was typed for, such as a step of a reply, are named by their token ids.
 * @param {import('./store.js').State} state
 * @returns {string}
 */
export function writeUrl(state) {
  const fields = new URLSearchParams();
  const text = state.turns.join('');
  if (text && text.length <= LONGEST) for (const turn of state.turns) fields.append('text', turn);
  const ids = state.ids?.join(',') ?? '';
  if (state.turns.length) fields.set('mode', state.mode);
  else if (ids && ids.length <= LONGEST) fields.set('ids', ids);
  const depth = LEVELS.indexOf(state.level);
  NUMBERS.forEach((name, place) => {
    const value = state[name];
    if (value !== null && (place > 2 || place < depth)) fields.set(name, String(value));
  });
  return `#${state.tab}?${fields}`;
}
