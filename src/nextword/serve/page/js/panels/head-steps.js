// @ts-check
/** The steps of a head as rows of its table: scores, scaling, weights, values. */

import { html, nothing } from '../../vendor/lit/index.js';
import { canonical, shown } from '../numbers.js';
import { carried, hidden, madeName, product, rowSum } from './head-rows.js';

export const FULL = 16; // dimensions that are printed one by one

/**
 * @typedef {{parts: import('./head-rows.js').Head, card: any, columns: number[], open: boolean,
 *   toggle: () => void}} Table
 */

/**
 * One group of rows for each step.
 * @param {Table} table
 */
export function stepsOf(table) {
  const { parts, card } = table;
  const scaled = parts.scaled ? [scaledRow(table, scaling(card))] : [];
  const values = parts.width <= FULL ? [valueRows(table)] : [];
  return [scoreRows(table), ...scaled, weightRow(table), ...values];
}

/** @param {number} value @param {string} name @param {boolean} [exact] whether it has an equation */
function number(value, name, exact = true) {
  return html`<nw-number .value=${value} .name=${name} .clickable=${exact}></nw-number>`;
}

const MASKED = html`<td class="masked hatched" data-masked><span>masked</span></td>`;

/**
 * A cell for each word that can be seen, and hatching for the others.
 * @param {Table} table @param {(j: number) => unknown} content
 */
function cells({ parts, card, columns }, content) {
  const window = card.windows[parts.layer];
  return columns.map((j) =>
    (hidden(parts.position, j, window) ? MASKED : html`<td>${content(j)}</td>`));
}

/** @param {Table} table */
function each({ parts }) {
  return Array.from({ length: parts.width }, (_, d) => d);
}

/**
 * A row below a step's own.
 * @param {unknown} name @param {unknown} numbers @param {unknown} [sum]
 */
function inner(name, numbers, sum = nothing) {
  return html`<tr class="inner"><th scope="row">${name}</th>${numbers}
    <td class="sum">${sum}</td></tr>`;
}

/**
 * The number of a word in a row of the trace.
 * @param {Table} table @param {import('./head-rows.js').Row} row
 */
function whole({ parts }, row) {
  return (/** @type {number} */ j) =>
    number(row.values[j], canonical(row.name, [parts.head, parts.position, j]));
}

/** @param {Table} table */
function scoreRows(table) {
  const { parts, open, toggle } = table;
  const full = parts.width <= FULL;
  const button = html`<button type="button" class="small" aria-expanded=${String(open)}
    @click=${toggle}>${open ? 'Close' : 'Open'}</button>`;
  const keys = (/** @type {number} */ d) => cells(table, (j) =>
    number(parts.keys.at(j, d), canonical(parts.keyName, [parts.shared, j, d])));
  const products = (/** @type {number} */ d) => cells(table, (j) =>
    number(product(parts, j, d), madeName(parts, 'product', j, d), false));
  return html`<tr class="step"><th scope="row"><span class="letter query">Q</span> ·
      <span class="letter key">K</span> query · key ${full ? button : nothing}</th>
      ${cells(table, whole(table, parts.scores))}<td></td></tr>
    ${full && open ? [
      ...each(table).map((d) =>
        inner(html`<span class="letter key">K</span> key, dimension ${d}`, keys(d))),
      ...each(table).map((d) => inner(`query × key, dimension ${d}`, products(d))),
    ] : nothing}`;
}

/** @param {Table} table @param {string} name */
function scaledRow(table, name) {
  const row = /** @type {import('./head-rows.js').Row} */ (table.parts.scaled);
  return html`<tr class="step"><th scope="row">${name}</th>
    ${cells(table, whole(table, row))}<td></td></tr>`;
}

/** @param {Table} table */
function weightRow(table) {
  const { parts, columns, card } = table;
  const { layer, head, position, weights } = parts;
  const cell = whole(table, weights);
  return html`<tr class="step weights"><th scope="row">masked, then softmax: weight</th>
    ${columns.map((j) => (hidden(position, j, card.windows[layer]) ? MASKED : html`<td
      class="cell weight" .style=${`--share:${weights.values[j].toFixed(4)}`}>${cell(j)}</td>`))}
    <td class="sum">${number(rowSum(parts), canonical('row_sum', [layer, head, position]), false)}
    </td></tr>`;
}

/** @param {Table} table */
function valueRows(table) {
  const { parts, columns, open } = table;
  const { layer, head, position, shared, context } = parts;
  const values = (/** @type {number} */ d) => cells(table, (j) => number(parts.values.at(j, d),
    canonical(`blocks.${layer}.attention.value`, [shared, j, d])));
  const weighed = (/** @type {number} */ d) => cells(table, (j) =>
    number(carried(parts, j, d), madeName(parts, 'carried', j, d), false));
  return html`<tr class="step"><th scope="row" colspan=${columns.length + 2}>weight ×
      <span class="letter value">V</span> value, summed: the vector with context</th></tr>
    ${open ? each(table).map((d) =>
      inner(html`<span class="letter value">V</span> value, dimension ${d}`, values(d))) : nothing}
    ${each(table).map((d) => inner(`${open ? 'weight × value, ' : ''}dimension ${d}`, weighed(d),
      number(context.values[d], canonical(context.name, [head, position, d]))))}`;
}

/** What happens to the scores before the mask. @param {any} card */
function scaling(card) {
  const { attention_soft_cap: cap, scaled_scores: scaled, score_scale: scale } = card;
  if (!scaled) return `soft-capped at ${cap}`;
  const root = Math.abs(scale * Math.sqrt(card.d_head) - 1) < 1e-6;
  const how = root ? `÷ √${card.d_head}` : `× ${shown(scale)}`;
  return `scaled: ${how}${cap === null ? '' : `, then soft-capped at ${cap}`}`;
}
