// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { store } from '../store.js';
import { teaching } from '../teach/teaching.js';
import { Watching } from '../watching.js';

/** Says above every tab that a lesson is in force without being kept, and keeps or undoes it. */
export class NwUnkeptLesson extends Watching {
  static keys = ['card'];
  static properties = { found: { state: true } };

  #asked = '';
  #leaving = () => {};
  #focused = () => { this.#ask(); };

  constructor() {
    super();
    /** @type {{unkept: string | null, folder: boolean} | null} */
    this.found = null;
  }

  connectedCallback() {
    super.connectedCallback();
    this.#leaving = teaching.subscribe(() => this.requestUpdate());
    window.addEventListener('focus', this.#focused);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#leaving();
    window.removeEventListener('focus', this.#focused);
  }

  /** Ask again whenever the weights, or what this page does with them, are others. */
  willUpdate() {
    const { card } = store.state;
    const now = card ? `${card.version} ${teaching.state.phase}` : '';
    if (now === this.#asked) return;
    this.#asked = now;
    this.#ask();
  }

  async #ask() {
    try {
      this.found = await store.track(api.teachState());
    } catch {
      this.found = null; // the server has ended; what is asked next says so
    }
  }

  render() {
    const { found } = this;
    if (!found || found.unkept === null) return nothing;
    const { unkept, folder } = found;
    return html`<p class="notice" id="unkept-lesson" role="status">
      <span class="badge">lesson not kept</span>
      <span>The model answers with an unkept lesson to everyone who opens this page: ${unkept}
        ${folder ? nothing : 'It has no folder to keep it in.'}</span>
      ${folder ? html`<button type="button" id="unkept-keep"
        @click=${() => teaching.keep()}>Keep</button>` : nothing}
      <button type="button" id="unkept-undo" @click=${() => teaching.undo()}>Undo</button></p>`;
  }
}

customElements.define('nw-unkept-lesson', NwUnkeptLesson);
