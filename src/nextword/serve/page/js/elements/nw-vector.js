// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { sparkline } from '../draw.js';
import { largest, ordinal } from '../numbers.js';

const FULL = 16; // numbers that are printed one by one

/**
 * A vector. Up to 16 numbers are printed, tinted by sign and size; of more, a sparkline is drawn
 * beside one exact number, which arrows and the pointer choose.
 *
 * `name` is a canonical name with `*` in the place of the dimension; `limit` is the number that
 * has the strongest tint, so that vectors which stand below each other can share it.
 */
export class NwVector extends LitElement {
  static properties = {
    data: { attribute: false }, name: { attribute: false }, hue: { attribute: false },
    label: { attribute: false }, limit: { attribute: false }, clickable: { attribute: false },
    at: { state: true },
  };

  constructor() {
    super();
    /** @type {ArrayLike<number>} */
    this.data = [];
    this.name = '';
    /** @type {'' | 'query' | 'key' | 'value'} */
    this.hue = '';
    this.label = '';
    this.limit = 0;
    this.clickable = true;
    /** the dimension read out; null: the largest */
    this.at = /** @type {number | null} */ (null);
  }

  #faded = false; // the colours have changed since it was drawn
  #redraw = () => {
    this.#faded = true;
    this.requestUpdate();
  };

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener('nw-theme', this.#redraw);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener('nw-theme', this.#redraw);
  }

  get strongest() {
    return this.data.length ? Math.abs(this.data[largest(this.data, true)]) : 0;
  }

  render() {
    return this.data.length <= FULL ? this.#numbers() : this.#line();
  }

  #numbers() {
    const limit = this.limit || this.strongest || 1;
    return html`<ol class="vector" role="list" aria-label=${this.label || nothing}>
      ${Array.from(this.data, (value, d) => html`
        <li class="cell ${value < 0 ? 'minus' : 'plus'}"
          .style=${`--share:${Math.min(1, Math.abs(value) / limit).toFixed(3)}`}>
          ${this.#number(d)}</li>`)}
    </ol>`;
  }

  /** @param {number} d */
  #number(d) {
    return html`<nw-number .value=${this.data[d]} .name=${this.name.replace('*', String(d))}
      .clickable=${this.clickable}></nw-number>`;
  }

  #line() {
    const at = Math.min(this.at ?? largest(this.data, true), this.data.length - 1);
    return html`<div class="spark">
      <div class="spark-line" role="slider" tabindex="0" aria-label="${this.label}, dimension"
        aria-valuemin="0" aria-valuemax=${this.data.length - 1} aria-valuenow=${at}
        aria-valuetext="dimension ${at}: ${this.data[at].toFixed(4)}"
        @keydown=${this.#key} @pointermove=${this.#point} @pointerdown=${this.#point}>
        <canvas aria-hidden="true"></canvas>
        <span class="spark-mark" aria-hidden="true"
          .style=${`--place:${((at + 0.5) / this.data.length).toFixed(5)}`}></span>
      </div>
      <span class="reading"><span class="muted">dimension ${at},
        ${ordinal(at, this.data.length)}</span>
        ${this.#number(at)}</span>
    </div>`;
  }

  /** @param {Map<PropertyKey, unknown>} changed */
  updated(changed) {
    const canvas = this.querySelector('canvas');
    if (!this.#faded && !['data', 'hue', 'limit'].some((key) => changed.has(key))) return;
    this.#faded = false;
    const variable = this.hue ? `--${this.hue}` : '--accent';
    if (canvas) sparkline(canvas, this.data, variable, this.limit || this.strongest);
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    this.at = Math.max(0, Math.min(this.data.length - 1, Math.floor(share * this.data.length)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -10, ArrowUp: 10 }[event.key];
    const end = { Home: 0, End: this.data.length - 1 }[event.key];
    if (event.key === 'Enter') this.querySelector('button')?.click();
    if (by === undefined && end === undefined) return;
    event.preventDefault();
    const now = this.at ?? largest(this.data, true);
    this.at = end ?? Math.max(0, Math.min(this.data.length - 1, now + (by ?? 0)));
  }
}

customElements.define('nw-vector', NwVector);
