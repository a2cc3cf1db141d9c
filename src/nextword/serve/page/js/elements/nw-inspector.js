// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { canonical, shown } from '../numbers.js';
import { store } from '../store.js';
import { marked } from '../tokens.js';

/** How one number was computed: the equation with its values put in. */
export class NwInspector extends LitElement {
  static properties = {
    equation: { state: true }, problem: { state: true }, asked: { state: true },
  };

  #back = /** @type {Element | null} */ (null);
  #leave = () => {};

  constructor() {
    super();
    /** @type {any} */
    this.equation = null;
    this.problem = '';
    this.asked = /** @type {{name: string, index: number[]} | null} */ (null);
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener('nw-equation', this.#open);
    document.addEventListener('nw-close', this.#close);
    // the number is one of the sentence: with another one it is gone
    this.#leave = store.subscribe(() => { if (this.asked) this.#close(); }, ['ids']);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener('nw-equation', this.#open);
    document.removeEventListener('nw-close', this.#close);
    this.#leave();
  }

  #open = async (/** @type {Event} */ event) => {
    const { ids } = store.state;
    const asked = /** @type {CustomEvent} */ (event).detail;
    if (!ids || !asked) return;
    if (!this.asked) this.#back = document.activeElement;
    this.asked = asked;
    this.problem = '';
    this.equation = null;
    try {
      const equation = await store.track(
        api.equation(ids, asked.name, asked.index, { slot: 'equation' }),
      );
      if (this.asked !== asked) return;
      this.equation = equation;
    } catch (error) {
      if (error.name === 'AbortError' || this.asked !== asked) return;
      this.problem = error.message;
    }
    await this.updateComplete;
    const heading = this.querySelector('h2');
    if (heading instanceof HTMLElement) heading.focus({ preventScroll: true });
  };

  #close = () => {
    this.asked = null;
    this.equation = null;
    if (this.#back instanceof HTMLElement && this.#back.isConnected) this.#back.focus();
    this.#back = null;
  };

  render() {
    if (!this.asked) return nothing;
    const { name, index } = this.asked;
    const short = name.replace(/^blocks\.\d+\./, '');
    const point = store.state.card?.points?.find((/** @type {any} */ p) =>
      p.name.replace(/^blocks\.N\./, '') === short);
    return html`<section id="inspector" role="dialog"
      aria-labelledby="inspector-heading"
      aria-busy=${this.equation || this.problem ? nothing : 'true'}>
      <div class="title"><h2 id="inspector-heading" tabindex="-1">How this number was computed</h2>
        <button type="button" class="close" aria-label="Close"
          @click=${this.#close}>×</button></div>
      <p class="code">${canonical(name, index)}${point ? html`
        <span class="muted"> [${point.shape.toLowerCase().split(' ').join(', ')}]</span>`
        : nothing}</p>
      ${point ? html`<p>${point.meaning}</p>` : nothing}
      ${this.problem ? html`<p class="quiet">${this.problem}</p>` : nothing}
      ${this.equation ? this.#worked(this.equation) : this.problem ? nothing
        : html`<p class="waiting late">Working it out …</p>`}
    </section>`;
  }

  /** @param {any} equation */
  #worked({ formula, terms, n_terms: count, rest, added, steps, result }) {
    const left = count - terms.length;
    return html`
      ${formula ? html`<p class="code wide">${formula}</p>` : nothing}
      <div class="scroller" tabindex="0" role="region" aria-label="The terms">
      <table class="plain terms"><tbody>
        ${terms.map((/** @type {any} */ term) => html`<tr>
          <th scope="row">${marked(term.label)}</th>
          <td>${shown(term.left)}</td><td class="muted">×</td><td>${shown(term.right)}</td>
          <td class="muted">=</td><td>${shown(term.product)}</td></tr>`)}
        ${left > 0 ? this.#line(`the other ${left} together`, rest) : nothing}
        ${added === null ? nothing : this.#line('added: bias or residual', added)}
        ${steps.map((/** @type {any} */ step) => this.#line(marked(step.label), step.value))}
        <tr class="total"><th scope="row">result</th><td colspan="4"></td>
          <td>${shown(result)}</td></tr>
      </tbody></table></div>`;
  }

  /** @param {unknown} label @param {number} value */
  #line(label, value) {
    return html`<tr><th scope="row">${label}</th><td colspan="4"></td>
      <td>${shown(value)}</td></tr>`;
  }
}

customElements.define('nw-inspector', NwInspector);
