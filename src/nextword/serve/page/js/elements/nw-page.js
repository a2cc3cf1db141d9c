// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { store } from '../store.js';
import { after, apply } from '../theme.js';
import { Watching } from '../watching.js';
import './nw-waiting.js';

const TABS = /** @type {const} */ ([
  ['read', 'Read'], ['teach', 'Teach'], ['reply', 'Reply'],
]);
const THEMES = { auto: 'Auto', light: 'Light', dark: 'Dark' };

/** The frame of the page: name and model, tabs, the text, and one panel after another. */
export class NwPage extends Watching {
  static keys = ['tab', 'card', 'read', 'theme', 'stale', 'recorded', 'error', 'reading', 'slow',
    'unmet'];

  connectedCallback() {
    this.replaceChildren(); // the heading that stood there while the modules were loaded
    super.connectedCallback();
  }

  render() {
    return html`
      <header class="top">
        <div class="brand"><h1>Nextword</h1>
          <p class="muted">every value, from words to next word</p></div>
        <div class="controls">${this.#tabs()}${this.#theme()}</div>
        <nw-model-card></nw-model-card>
      </header>
      ${store.state.recorded ? nothing : html`<nw-unkept-lesson></nw-unkept-lesson>`}
      <main>
        ${store.state.tab === 'teach' ? this.#error()
          : html`<nw-text></nw-text>${this.#stale()}`}
        ${this.#recorded()}${this.#unmet()}
        <div id="page" aria-busy=${this.#before ? 'true' : nothing}
          role=${store.state.recorded ? nothing : 'tabpanel'}
          aria-labelledby=${store.state.recorded ? nothing : `tab-${store.state.tab}`}>
          ${this.#tab()}
        </div>
      </main>
      <nw-inspector></nw-inspector>
      <nw-waiting></nw-waiting>
      <nw-live></nw-live>`;
  }

  #tabs() {
    if (store.state.recorded) return nothing;
    return html`<div class="tabs" role="tablist" aria-label="What to do" @keydown=${this.#arrow}>
      ${TABS.map(([tab, name]) => html`<button type="button" role="tab" id="tab-${tab}"
        aria-controls="page" aria-selected=${String(store.state.tab === tab)}
        tabindex=${store.state.tab === tab ? 0 : -1}
        @click=${() => store.open(tab)}>${name}</button>`)}
    </div>`;
  }

  #theme() {
    const { theme } = store.state;
    return html`<button type="button" id="theme" title="Light, dark, or as the system has it"
      @click=${() => this.#next()}><span class="theme-sign ${theme}" aria-hidden="true"></span>
      <span><span class="unseen">Theme: </span>${THEMES[theme]}</span></button>`;
  }

  #next() {
    const theme = after(store.state.theme);
    apply(theme);
    store.set({ theme });
  }

  /** @param {KeyboardEvent} event */
  async #arrow(event) {
    if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    const step = event.key === 'ArrowRight' ? 1 : TABS.length - 1;
    const at = TABS.findIndex(([tab]) => tab === store.state.tab);
    store.open(TABS[(at + step) % TABS.length][0]);
    await this.updateComplete;
    const chosen = this.querySelector('[role=tab][aria-selected=true]');
    if (chosen instanceof HTMLElement) chosen.focus();
  }

  /** Whether another sentence is being read, and what is shown is still of the one before. */
  get #before() {
    const { reading, slow, read } = store.state;
    return reading && slow && read !== null;
  }

  /** Elsewhere it stands below the text. */
  #error() {
    const { error } = store.state;
    return error ? html`<p id="error" role="alert">${error.message}</p>` : nothing;
  }

  /** What the address asked for in vain. */
  #unmet() {
    return html`<div id="unmet" role="status">${store.state.unmet.map((text) => html`<p
      class="notice">${text}</p>`)}</div>`;
  }

  #stale() {
    if (!store.state.stale) return nothing;
    return html`<p class="notice"><span class="badge">before the lesson</span>
      The weights have changed since this was read.
      <button type="button" @click=${() => store.readAgain()}>Read it anew</button></p>`;
  }

  #recorded() {
    if (!store.state.recorded) return nothing;
    return html`<p class="notice quiet">A recorded page: it needs no server and shows what was
      recorded of this sentence.${api.recorded.limited
        ? ' The whole was too large: only some words and one layer are held in full.' : ''}</p>`;
  }

  #invitation() {
    return html`<section class="invitation"><h2>From words to next word</h2>
      <p>Type a sentence above and press Enter. Below it then unfolds what the model
        makes of it, every number of it:</p>
      <ol><li>at each word, the next word that is predicted, and whether it came</li>
        <li>one word’s vector, and the earlier words that it looks at</li>
        <li>one head: query · key, softmax, weight × value</li>
        <li>the residual, and the logit of the next word as a sum of named parts</li>
      </ol></section>`;
  }

  #tab() {
    const { card, tab, reading, read } = store.state;
    if (!card || (reading && !read && tab !== 'teach')) return nothing;
    if (tab === 'teach') return html`<nw-teach></nw-teach>`;
    return tab === 'reply' ? html`<nw-reply></nw-reply>` : this.#reading(card);
  }

  /** @param {any} card */
  #reading(card) {
    const { read } = store.state;
    if (!read) return store.state.error ? nothing : this.#invitation();
    const blocks = card.n_layers > 0;
    return html`
      <nw-sentence></nw-sentence>
      <nw-breadcrumb></nw-breadcrumb>
      <nw-position></nw-position>
      ${blocks ? html`<nw-head></nw-head>` : nothing}
      <nw-residual></nw-residual>
      ${card.n_layers * card.n_heads > 1 ? html`<nw-overview></nw-overview>` : nothing}`;
  }
}

customElements.define('nw-page', NwPage);
