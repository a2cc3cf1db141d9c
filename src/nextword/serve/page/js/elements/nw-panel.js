// @ts-check
import { LitElement, html, nothing, render } from '../../vendor/lit/index.js';

/**
 * The frame of a panel: heading, one plain sentence, the numbers, and the formula, folded.
 *
 * Its children with `part="numbers"` and `part="formula"` are moved into the frame once; they must
 * therefore stand in the template as they are, not inside a condition. `sentence` is a string or a
 * template. While the element around it is busy, the old content stays at half strength.
 */
export class NwPanel extends LitElement {
  static properties = {
    number: { attribute: false }, heading: { attribute: false }, sentence: { attribute: false },
    name: { attribute: false },
  };

  #section = /** @type {HTMLElement | null} */ (null);

  constructor() {
    super();
    this.number = 0;
    this.heading = '';
    /** @type {unknown} */
    this.sentence = '';
    /** the class that styles this panel, such as `one-head` */
    this.name = '';
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    if (!this.#section) this.#build();
    super.connectedCallback();
  }

  #build() {
    const find = (/** @type {string} */ part) => this.querySelector(`:scope > [part=${part}]`);
    const [numbers, formula] = [find('numbers'), find('formula')];
    const section = document.createElement('section');
    section.append(document.createElement('header'));
    if (numbers) section.append(numbers);
    if (formula) {
      const folded = document.createElement('details');
      const summary = document.createElement('summary');
      folded.className = 'formula';
      summary.textContent = 'The formula';
      folded.append(summary, formula);
      section.append(folded);
    }
    this.append(section);
    this.#section = section;
  }

  updated() {
    const section = /** @type {HTMLElement} */ (this.#section);
    const id = `panel-${this.number}`;
    section.id = id;
    section.className = `panel ${this.name}`;
    section.setAttribute('aria-labelledby', `${id}-heading`);
    render(html`
      <h2 id="${id}-heading" tabindex="-1">
        <span class="ordinal" aria-hidden="true">${this.number}</span>${this.heading}</h2>
      ${this.sentence ? html`<p class="sentence">${this.sentence}</p>` : nothing}`,
    /** @type {HTMLElement} */ (section.firstElementChild));
  }
}

customElements.define('nw-panel', NwPanel);
