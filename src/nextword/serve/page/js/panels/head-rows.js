// @ts-check
/** What one head does for one word, worked out for a stretch of columns. */

import { canonical, largest } from '../numbers.js';
import { vector } from '../tensors.js';

/**
 * @typedef {{name: string, values: ArrayLike<number>}} Row numbers of all words, and their point
 * @typedef {{layer: number, head: number, shared: number, position: number, width: number,
 *   words: number, query: {name: string, values: ArrayLike<number>}, scores: Row,
 *   scaled: Row | null, weights: Row, context: Row, output: Row, keyName: string,
 *   keys: import('../tensors.js').Tensor, values: import('../tensors.js').Tensor}} Head
 */

/**
 * @param {{row: any, past: any, card: any, layer: number, head: number, position: number}} view
 * @returns {Head}
 */
export function headOf({ row, past, card, layer, head, position }) {
  const point = (/** @type {string} */ name) => `blocks.${layer}.attention.${name}`;
  const last = (/** @type {string} */ name) =>
    [`${name}_rotated`, `${name}_norm`, name].find((full) => row.get(point(full))) ?? name;
  const part = (/** @type {string} */ name) => {
    const tensor = row.get(point(name));
    return tensor ? { name: point(name), values: vector(tensor, head) } : null;
  };
  const output = row.get(point('output'));
  return {
    layer, head, position,
    shared: Math.floor(head / (card.n_heads / card.n_kv_heads)),
    width: card.d_head,
    words: past.get('key_used').shape[0],
    query: /** @type {Row} */ (part(last('query'))),
    scores: /** @type {Row} */ (part('scores')),
    scaled: part('scaled_scores'),
    weights: /** @type {Row} */ (part('attention_weights')),
    context: /** @type {Row} */ (part('context')),
    output: { name: point('output'), values: output.data },
    keyName: point(last('key')),
    keys: past.get('key_used'),
    values: past.get('value'),
  };
}

/** query × key in one dimension. @param {Head} head @param {number} j @param {number} d */
export function product(head, j, d) {
  return Math.fround(head.query.values[d] * head.keys.at(j, d));
}

/** weight × value in one dimension. @param {Head} head @param {number} j @param {number} d */
export function carried(head, j, d) {
  return Math.fround(head.weights.values[j] * head.values.at(j, d));
}

/** @param {Head} head @param {'product' | 'carried'} what @param {number} j @param {number} d */
export function madeName({ layer, head, position }, what, j, d) {
  return canonical(what, [layer, head, position, j, d]);
}

/** The weights of all words together. @param {Head} head */
export function rowSum({ weights }) {
  return Math.fround(Array.from(weights.values).reduce((sum, weight) => sum + weight, 0));
}

/** The word that this head looks at most. @param {Head} head */
export function strongest({ weights, position }) {
  return largest(Array.from(weights.values).slice(0, position + 1));
}

/**
 * Where a window of `most` columns begins: around the strongest word, or where it was moved to.
 * @param {Head} head @param {number} most @param {number | null} wanted
 */
export function firstColumn(head, most, wanted) {
  const end = Math.max(0, head.words - most);
  return Math.max(0, Math.min(end, wanted ?? strongest(head) - Math.floor(most / 2)));
}

/**
 * Whether a word is hidden from this one: later, or before the layer's window.
 * @param {number} position @param {number} j @param {number | null} window
 */
export function hidden(position, j, window) {
  return j > position || (window !== null && position - j >= window);
}

/** The heads that share a key/value head with this one. @param {any} card @param {number} head */
export function sharing(card, head) {
  const group = card.n_heads / card.n_kv_heads;
  const first = Math.floor(head / group) * group;
  return Array.from({ length: group }, (_, i) => first + i).filter((other) => other !== head);
}
