// @ts-check
import { LitElement, html } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { percent, shown } from '../numbers.js';
import { store } from '../store.js';
import { spoken } from '../tokens.js';

const WAIT = 400; // ms: only a selection that has settled is spoken

/** @param {string} token */
const said = (token) => `“${spoken(token)}”`;

/** Speaks what was chosen: “sat” looks at “cat”, 0.62; “the”, 0.21. */
export class NwLive extends LitElement {
  static properties = { spoken: { state: true } };

  #timer = 0;
  #turn = 0;

  constructor() {
    super();
    this.spoken = '';
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener('nw-select', this.#later);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener('nw-select', this.#later);
  }

  #later = () => {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#speak().catch(() => {}), WAIT);
  };

  async #speak() {
    this.#turn += 1;
    const turn = this.#turn;
    const { read, ids, position, layer, head, level } = store.state;
    if (!read || !ids || position === null) return;
    const here = read.positions[position];
    const says = `predicts ${said(here.predicted.token)}, ${percent(here.predicted.probability)}`;
    if (level === 'sentence' || level === 'position' || layer === null || head === null) {
      this.spoken = `${said(here.token)} at position ${position} ${says}.`;
      return;
    }
    const row = await api.row(ids, position, layer);
    if (turn !== this.#turn) return;
    const weights = row.get(`blocks.${layer}.attention.attention_weights`);
    const seen = read.positions.slice(0, position + 1).map((/** @type {any} */ p) =>
      ({ token: p.token, weight: weights.at(head, p.position) }));
    seen.sort((/** @type {any} */ a, /** @type {any} */ b) => b.weight - a.weight);
    const looks = seen.slice(0, 2).map((/** @type {any} */ s) =>
      `${said(s.token)}, ${shown(s.weight, 2)}`).join('; ');
    this.spoken = `Layer ${layer}, head ${head}: ${said(here.token)} looks at ${looks}.`;
  }

  render() {
    return html`<div id="live" class="unseen" aria-live="polite">${this.spoken}</div>`;
  }
}

customElements.define('nw-live', NwLive);
