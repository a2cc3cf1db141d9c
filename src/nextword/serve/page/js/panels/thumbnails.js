// @ts-check
/** Every head as a small picture, in the model's order or ranked by what it does. */

import { html, nothing } from '../../vendor/lit/index.js';
import { thumbnail } from '../draw.js';
import { shown as printed } from '../numbers.js';
import { store } from '../store.js';
import { Watching } from '../watching.js';
import '../elements/nw-number.js';

/** @typedef {{layer: number, head: number}} Head */
/** @typedef {'layer' | 'previous' | 'first' | 'entropy'} Order */

const ORDERS = /** @type {[Order, string][]} */ ([
  ['layer', 'layer by layer'],
  ['previous', 'looks at the previous word, most first'],
  ['first', 'looks at the first word, most first'],
  ['entropy', 'most undecided first (entropy)'],
]);

/**
 * Heads in order: as the model has them, or the largest score first.
 * @param {Order} by @param {number[]} shape [layers, heads, …] @param {ArrayLike<number>} scores
 * @returns {Head[]}
 */
function ordered(by, [layers, heads], scores) {
  const all = Array.from({ length: layers * heads }, (_, i) => i);
  if (by !== 'layer') all.sort((a, b) => scores[b] - scores[a] || a - b);
  return all.map((i) => ({ layer: Math.floor(i / heads), head: i % heads }));
}

export class NwThumbnails extends Watching {
  static keys = ['layer', 'head', 'level'];
  static properties = { overview: { attribute: false }, depth: { attribute: false } };

  #drawn = /** @type {WeakMap<HTMLCanvasElement, string>} */ (new WeakMap());
  #recolour = () => {
    this.#drawn = new WeakMap();
    this.requestUpdate();
  };

  constructor() {
    super();
    /** @type {any} the server's answer */
    this.overview = null;
    /** @type {number|null} layers from here on cannot influence the cell that is pointed at */
    this.depth = null;
    /** @type {Order} */
    this.by = 'layer';
    this.root = false;
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener('nw-theme', this.#recolour);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener('nw-theme', this.#recolour);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('overview')) this.#drawn = new WeakMap();
  }

  render() {
    if (!this.overview) return nothing;
    const { shape } = this.overview.get('weights');
    const scores = this.by === 'layer' ? [] : this.overview.get(this.by).data;
    const heads = ordered(this.by, shape, scores);
    return html`<div class="choices"><label for="thumbnails-order">Order</label>
        <select id="thumbnails-order" @change=${(/** @type {any} */ { target }) => {
          this.by = target.value;
          this.requestUpdate();
        }}>${ORDERS.map(([value, name]) => html`<option value=${value}
          .selected=${value === this.by}>${name}</option>`)}</select>
        <label class="check"><input type="checkbox" .checked=${this.root} @change=${() => {
          this.root = !this.root;
          this.#recolour();
        }}> square root colours</label></div>
      <div id="thumbnails" role="listbox" aria-label="All heads" @keydown=${this.key}
        @focusout=${() => store.hover(null)} @pointerleave=${() => store.hover(null)}>
        ${this.by === 'layer' ? this.layers(heads, shape[1])
          : html`<div role="group" aria-label="Ranked" class="heads">
            ${heads.map((head) => this.picture(head))}</div>`}
      </div>
      ${this.reading()}`;
  }

  /** @param {Head[]} heads @param {number} width */
  layers(heads, width) {
    const rows = Array.from({ length: heads.length / width },
      (_, l) => heads.slice(l * width, (l + 1) * width));
    return rows.map((row, l) => html`<div role="group" aria-label="Layer ${l}" class="layer">
      <span class="layer-name" aria-hidden="true">layer ${l}</span>
      <div role="presentation" class="heads">${row.map((head) => this.picture(head))}</div></div>`);
  }

  /** @param {Head} head */
  picture({ layer, head }) {
    const { state } = store;
    const here = store.shown.layer === layer && store.shown.head === head;
    const chosen = state.layer === layer && state.head === head;
    const score = this.by === 'layer' ? '' : printed(this.overview.get(this.by).at(layer, head), 2);
    const dim = this.depth !== null && layer >= this.depth;
    return html`<div role="option" class="thumbnail ${here ? 'here' : ''} ${dim ? 'dim' : ''}"
      data-layer=${layer} data-head=${head} aria-selected=${chosen ? 'true' : 'false'}
      tabindex=${here ? 0 : -1} aria-label=${this.spoken(layer, head)}
      @pointerenter=${() => store.hover({ layer, head })}
      @click=${() => store.select({ layer, head, level: 'head' })}>
      <canvas aria-hidden="true"></canvas>
      <span class="caption" aria-hidden="true">${score ? `${layer}·${head}  ${score}` : head}</span>
    </div>`;
  }

  /** @param {number} layer @param {number} head */
  spoken(layer, head) {
    const score = (/** @type {string} */ name) =>
      printed(this.overview.get(name).at(layer, head), 2);
    return `layer ${layer}, head ${head}: previous word ${score('previous')}, first word `
      + `${score('first')}, entropy ${score('entropy')}`;
  }

  /** The exact numbers of the head that is looked at. */
  reading() {
    const { layer, head } = store.shown;
    if (layer === null || head === null) return nothing;
    const number = (/** @type {string} */ name) => html`<nw-number
      .value=${this.overview.get(name).at(layer, head)}
      .name=${`overview.${name}[${layer},${head}]`}></nw-number>`;
    return html`<p class="reading">Head ${head} of layer ${layer}, mean over the sentence: weight on
      the previous word ${number('previous')}, on the first ${number('first')}; entropy
      ${number('entropy')} nats.</p>`;
  }

  updated() {
    if (!this.overview) return;
    const { data, shape } = this.overview.get('weights');
    const [, heads, size] = shape;
    for (const option of this.querySelectorAll('.thumbnail')) {
      const { layer, head } = /** @type {HTMLElement} */ (option).dataset;
      const canvas = /** @type {HTMLCanvasElement} */ (option.firstElementChild);
      const place = Number(layer) * heads + Number(head);
      const key = String(place);
      if (this.#drawn.get(canvas) === key) continue;
      this.#drawn.set(canvas, key);
      const bytes = data.subarray(place * size * size, (place + 1) * size * size);
      thumbnail(canvas, bytes, size, { root: this.root });
    }
  }

  /** Arrows preview, Enter locks. @param {KeyboardEvent} event */
  key(event) {
    const options = /** @type {HTMLElement[]} */ ([...this.querySelectorAll('.thumbnail')]);
    const at = options.findIndex((option) => option.contains(/** @type {Node} */ (event.target)));
    if (at < 0) return;
    const below = options.findIndex((option) => option.offsetTop > options[0].offsetTop);
    const across = below < 0 ? options.length : below;
    const to = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - across,
      ArrowDown: at + across,
      Home: 0,
      End: options.length - 1,
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') options[at].click();
    else if (to === undefined) return;
    else options[to]?.focus();
    if (to !== undefined && options[to]) {
      const { layer, head } = options[to].dataset;
      store.hover({ layer: Number(layer), head: Number(head) });
    }
    event.preventDefault();
  }
}
customElements.define('nw-thumbnails', NwThumbnails);
