// @ts-check
/** The selection as an address: `#read?text=…&mode=auto&position=3&layer=2&head=5`. */

const NUMBERS = /** @type {const} */ (['position', 'layer', 'head', 'token', 'against']);
const LONGEST = 2000; // characters of text that an address carries

/**
 * @param {string} hash
 * @returns {{tab: 'read' | 'reply', turns: string[] | null, mode: 'auto' | 'dialogue' | 'text',
 *   position: number | null, layer: number | null, head: number | null, token: number | null,
 *   against: number | null}}
 */
export function readUrl(hash) {
  const [tab, query = ''] = hash.replace(/^#/, '').split('?');
  const fields = new URLSearchParams(query);
  const mode = fields.get('mode');
  const turns = fields.getAll('text');
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, whole(fields.get(name))]));
  return {
    tab: tab === 'reply' ? 'reply' : 'read',
    turns: turns.length ? turns : null,
    mode: mode === 'dialogue' || mode === 'text' ? mode : 'auto',
    .../** @type {Record<typeof NUMBERS[number], number | null>} */ (numbers),
  };
}

/** @param {string | null} text */
function whole(text) {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/**
 * @param {import('./store.js').State} state
 * @returns {string}
 */
export function writeUrl(state) {
  const fields = new URLSearchParams();
  const text = state.turns.join('');
  if (text && text.length <= LONGEST) for (const turn of state.turns) fields.append('text', turn);
  if (state.turns.length) fields.set('mode', state.mode);
  const depth = ['sentence', 'position', 'layer', 'head'].indexOf(state.level);
  NUMBERS.forEach((name, place) => {
    const value = state[name];
    if (value !== null && (place > 2 || place < depth)) fields.set(name, String(value));
  });
  return `#${state.tab}?${fields}`;
}
