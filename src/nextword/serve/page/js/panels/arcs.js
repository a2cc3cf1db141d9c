// @ts-check
import { LitElement, html, nothing, svg } from '../../vendor/lit/index.js';
import { store } from '../store.js';
import { word } from '../tokens.js';

const HEIGHT = 96;
const FAINT = 0.004; // a weight below this has no arc

/** Arcs from one word back to those that it looks at: the thicker, the larger the weight. */
export class NwArcs extends LitElement {
  static properties = {
    weights: { attribute: false }, tokens: { attribute: false }, at: { attribute: false },
  };

  #measure = () => this.#place();

  constructor() {
    super();
    /** @type {ArrayLike<number>} */
    this.weights = [];
    /** @type {string[]} */
    this.tokens = [];
    this.at = 0;
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener('resize', this.#measure);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener('resize', this.#measure);
  }

  render() {
    return html`<div class="arcs scroller" aria-hidden="true"><div class="arcs-inner">
      <svg height=${HEIGHT}>${Array.from(this.tokens, (_, j) => (this.#drawn(j)
        ? svg`<path data-arc=${j}></path>` : nothing))}</svg>
      <div class="arc-words">${this.tokens.map((token, j) => html`<span
        class="arc-word ${j === this.at ? 'here' : ''} ${j > this.at ? 'hatched' : ''}"
        ?data-masked=${j > this.at} @click=${() => store.select({ position: j })}>${word(token)}
        </span>`)}</div></div></div>`;
  }

  /** @param {number} j */
  #drawn(j) { return j <= this.at && this.weights[j] >= FAINT; }

  updated() { this.#place(); }

  /** Arcs start and end above the middles of their words. */
  #place() {
    const words = /** @type {HTMLElement[]} */ ([...this.querySelectorAll('.arc-word')]);
    const middle = (/** @type {number} */ j) => words[j].offsetLeft + words[j].offsetWidth / 2;
    const drawing = this.querySelector('svg');
    const inner = /** @type {HTMLElement | null} */ (this.querySelector('.arcs-inner'));
    if (!drawing || !inner) return;
    drawing.setAttribute('width', String(inner.scrollWidth));
    for (const path of drawing.querySelectorAll('path')) {
      const j = Number(path.dataset.arc);
      const [from, to] = [middle(this.at), middle(j)];
      const tall = j === this.at ? 26 : Math.min(HEIGHT - 10, 22 + Math.abs(from - to) / 3);
      const reach = j === this.at ? 22 : 0; // a word that looks at itself: a small loop
      path.setAttribute('d', `M${from},${HEIGHT} C${from + reach},${HEIGHT - tall * 1.3} `
        + `${to - reach},${HEIGHT - tall * 1.3} ${to},${HEIGHT}`);
      path.style.strokeWidth = `${(1 + 9 * this.weights[j]).toFixed(2)}`;
      path.style.opacity = `${(0.25 + 0.7 * this.weights[j]).toFixed(3)}`;
    }
  }
}

customElements.define('nw-arcs', NwArcs);
