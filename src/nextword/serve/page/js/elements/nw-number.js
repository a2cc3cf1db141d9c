// @ts-check
import { LitElement, html } from '../../vendor/lit/index.js';
import { parsed, percent, shown } from '../numbers.js';

/**
 * One exact number. It prints a float32 with `digits` decimals (or as a percentage, or a count),
 * and carries the whole number and its canonical name as data. Clickable, it asks for its equation.
 */
export class NwNumber extends LitElement {
  static properties = {
    value: { attribute: false }, name: { attribute: false }, digits: { attribute: false },
    clickable: { attribute: false }, unit: { attribute: false },
  };

  constructor() {
    super();
    this.value = 0;
    this.name = '';
    this.digits = 4;
    this.clickable = false;
    /** @type {'' | 'percent' | 'count'} */
    this.unit = '';
  }

  createRenderRoot() { return this; }

  get text() {
    if (this.unit === 'percent') return percent(this.value);
    return shown(this.value, this.unit === 'count' ? 0 : this.digits);
  }

  willUpdate() {
    this.dataset.value = String(Math.fround(this.value));
    if (this.name) this.dataset.name = this.name;
    else delete this.dataset.name;
    if (this.unit) this.dataset.unit = this.unit;
  }

  render() {
    if (!this.clickable || !parsed(this.name)) return this.text;
    return html`<button type="button" class="exact" title="How was this number computed?"
      @click=${this.#ask}>${this.text}</button>`;
  }

  /** @param {Event} event */
  #ask(event) {
    event.stopPropagation();
    const detail = parsed(this.name);
    this.dispatchEvent(new CustomEvent('nw-equation', { bubbles: true, detail }));
  }
}

customElements.define('nw-number', NwNumber);
