// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { store } from '../store.js';
import { quoted, word } from '../tokens.js';
import { spaced } from './correction.js';
import { teaching } from './teaching.js';

const WORDS = 40; // of the sentence before the word that is corrected

/** What is to be learned: a prompt and its reply, or one word of a sentence that was read. */
export class NwTeachForm extends LitElement {
  static properties = {
    correction: { attribute: false }, draft: { attribute: false }, off: { attribute: false },
  };

  constructor() {
    super();
    /** @type {import('./correction.js').Correction | null} */
    this.correction = null;
    /** @type {import('./teaching.js').Draft} */
    this.draft = teaching.state.draft;
    this.off = false;
  }

  createRenderRoot() { return this; }

  render() {
    const { correction } = this;
    return correction && 'ids' in correction ? this.#carried(correction) : this.#fields();
  }

  #fields() {
    const dialogue = store.state.card?.kind === 'dialogue';
    return html`<div class="fields">
      ${this.#field('prompt', dialogue ? 'When this is said …' : 'After this text …', dialogue
        ? 'An empty line begins the next turn.' : 'It may be empty: then the reply begins a text.')}
      ${this.#field('reply', `… this should ${dialogue ? 'be replied' : 'follow'}`, dialogue
        ? 'With its end: the end token is taught too.' : 'Every word of it is taught.')}
      ${this.#field('phrasings', 'Other ways to ask it',
        'One a line. They are not trained on; they show whether the lesson carries over.')}
    </div>${this.#alsoPrompt()}`;
  }

  /**
   * @param {keyof import('./teaching.js').Draft} name @param {string} label @param {string} hint
   */
  #field(name, label, hint) {
    return html`<div class="field ${name}"><label for="teach-${name}">${label}</label>
      <textarea id="teach-${name}" rows=${name === 'phrasings' ? 1 : 2} spellcheck="false"
        autocomplete="off" ?readonly=${this.off} .value=${this.draft[name]}
        aria-describedby="teach-${name}-hint"
        @input=${(/** @type {{target: HTMLTextAreaElement}} */ { target }) =>
          teaching.set({ draft: { ...teaching.state.draft, [name]: target.value } })}></textarea>
      <p class="hint" id="teach-${name}-hint">${hint}</p></div>`;
  }

  /** Whether the words of the prompt are taught, too; by itself the reply alone is. */
  #alsoPrompt() {
    return html`<p class="also-prompt"><label class="check"><input type="checkbox" id="teach-also-prompt"
      .checked=${teaching.state.alsoPrompt} ?disabled=${this.off}
      @change=${(/** @type {{target: HTMLInputElement}} */ { target }) =>
        teaching.set({ alsoPrompt: target.checked })}> Teach every word of the prompt,
      too</label></p>`;
  }

  /** @param {import('./correction.js').WordCorrection} correction */
  #carried({ words, was, right, said }) {
    const last = words[words.length - 1];
    const shown = words.slice(-WORDS);
    const text = typeof right === 'number' ? (said ?? `token ${right}`).trim() : right;
    const wanted = typeof right === 'number' ? said ?? text : spaced(right, words);
    return html`<div id="teach-carried">
      <p class="carried">${words.length > WORDS ? html`<span class="muted">…</span> ` : nothing}
        ${shown.slice(0, -1).map((token) => html`<span class="word">${word(token)}</span> `)}
        <strong class="word">${word(last)}</strong>
        <span class="said"><span class="unseen">; it said </span><del>${word(was)}</del></span>
        <span class="wanted">${wanted ? word(wanted) : '?'}</span></p>
      <div class="should"><label for="teach-right">After ${quoted(last)} should have come</label>
        <input id="teach-right" type="text" autocomplete="off" spellcheck="false" .value=${text}
          ?readonly=${this.off} @input=${this.#typed} @keydown=${this.#key}>
        <button type="button" id="teach-drop" class="small" aria-disabled=${this.off}
          @click=${() => this.off || store.correct(null)}>Teach a whole reply instead</button>
      </div>${this.#alsoPrompt()}</div>`;
  }

  /** @param {{target: HTMLInputElement}} event */
  #typed = ({ target }) => {
    const { correction } = this;
    if (!correction || !('ids' in correction)) return;
    store.set({ correction: { ...correction, right: target.value, said: undefined } });
  };

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Enter' || event.isComposing) return;
    event.preventDefault();
    teaching.start();
  }
}
customElements.define('nw-teach-form', NwTeachForm);
