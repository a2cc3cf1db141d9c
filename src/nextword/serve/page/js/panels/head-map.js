// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { canonical } from '../numbers.js';
import { store } from '../store.js';
import { visible as shownToken } from '../tokens.js';
import { Watching } from '../watching.js';
import { hidden } from './head-rows.js';

/** @param {number | null} window */
function mask(window) {
  return (/** @type {number} */ r, /** @type {number} */ c) => hidden(r, c, window);
}

/** @param {number | null} window @returns {(row: number) => [number, number]} */
function visible(window) {
  return (row) => [window === null ? 0 : Math.max(0, row - window + 1), row + 1];
}

/** Every weight of one head as a picture: rows look, columns are looked at. */
export class NwHeadMap extends Watching {
  static keys = ['read', 'layer', 'head', 'hover', 'position'];

  #words = /** @type {string[]} */ ([]);
  #read = /** @type {any} */ (null);

  /** @param {import('../store.js').State} shown */
  async load({ ids, layer, head, read, position, card }) {
    if (!ids || layer === null || head === null || ids.length < 2) return null;
    const map = await api.map(ids, layer, head, this.slotted('map'));
    return {
      ids, layer, head, read, position, map: map.get(map.names[0]), mask: mask(card.windows[layer]),
      visible: visible(card.windows[layer]),
    };
  }

  render() {
    if (!this.view) return this.trouble();
    const { ids, layer, head, read, position, map, mask: masked, visible: seen } = this.view;
    if (read !== this.#read) {
      this.#read = read;
      this.#words = read.positions.map((/** @type {any} */ p) => shownToken(p.token));
    }
    const point = `blocks.${layer}.attention.attention_weights`;
    return html`<div class="part"><h3>The whole head</h3>${this.trouble()}
      <p class="muted">Rows are words that look, columns are words looked at. Click a row to choose
        its word.</p>
      <nw-matrix class="square" .data=${map.data} .rows=${this.#words} .columns=${this.#words}
        .shape=${map.shape} .domain=${'weights'} .mask=${masked} .visible=${seen} .row=${position}
        .label=${`Attention weights of layer ${layer}, head ${head}`}
        .names=${(/** @type {number} */ r, /** @type {number} */ c) =>
          canonical(point, [head, r, c])}
        .exact=${async (/** @type {number} */ r, /** @type {number} */ c) =>
          (await store.track(api.row(ids, r, layer, this.slotted('exact')))).get(point).at(head, c)}
        @nw-pick=${(/** @type {CustomEvent} */ event) =>
          store.select({ position: event.detail.row, level: 'head' })}></nw-matrix></div>`;
  }
}

customElements.define('nw-head-map', NwHeadMap);
