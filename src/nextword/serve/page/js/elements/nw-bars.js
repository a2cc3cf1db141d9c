// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';

/**
 * @typedef {{id: string | number, label: unknown, value: number, name?: string, mark?: string,
 *   muted?: boolean, unit?: '' | 'percent' | 'count', digits?: number}} Bar
 */

/**
 * Ranked bars. Signed ones grow from a middle line: orange to the right, blue to the left. `max`
 * is the value of a full bar; without it, the largest here. With `pickable`, labels are buttons.
 */
export class NwBars extends LitElement {
  static properties = {
    rows: { attribute: false }, signed: { attribute: false }, max: { attribute: false },
    pickable: { attribute: false }, label: { attribute: false }, hue: { attribute: false },
    clickable: { attribute: false },
  };

  constructor() {
    super();
    /** @type {Bar[]} */
    this.rows = [];
    this.signed = false;
    this.max = 0;
    this.pickable = false;
    this.label = '';
    this.hue = '';
    /** whether numbers open their equation */
    this.clickable = false;
  }

  createRenderRoot() { return this; }

  render() {
    const full = this.max || Math.max(1e-12, ...this.rows.map((row) => Math.abs(row.value)));
    return html`<ul class="bars ${this.signed ? 'signed' : ''} ${this.hue}" role="list"
      aria-label=${this.label || nothing}>
      ${this.rows.map((row) => this.#bar(row, Math.min(1, Math.abs(row.value) / full)))}
    </ul>`;
  }

  /** @param {Bar} bar @param {number} share */
  #bar(bar, share) {
    const side = this.signed && bar.value < 0 ? 'minus' : 'plus';
    return html`<li class="bar ${bar.muted ? 'subdued' : ''}" data-id=${bar.id}>
      ${this.pickable
        ? html`<button type="button" class="label" @click=${() => this.#pick(bar.id)}>
            ${bar.label}</button>`
        : html`<span class="label">${bar.label}</span>`}
      <span class="track" aria-hidden="true"><span class="fill ${side}"
        .style=${`--share:${share.toFixed(4)}`}></span></span>
      <nw-number .value=${bar.value} .name=${bar.name ?? ''} .unit=${bar.unit ?? ''}
        .digits=${bar.digits ?? 4} .clickable=${this.clickable}></nw-number>
      ${bar.mark ? html`<span class="badge">${bar.mark}</span>` : nothing}
    </li>`;
  }

  /** @param {string | number} id */
  #pick(id) {
    this.dispatchEvent(new CustomEvent('nw-pick', { bubbles: true, detail: { id } }));
  }
}

customElements.define('nw-bars', NwBars);
