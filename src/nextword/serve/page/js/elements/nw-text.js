// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { store } from '../store.js';
import { textOf } from '../tokens.js';
import { Watching } from '../watching.js';

const MODES = [
  ['auto', 'as the model expects'], ['dialogue', 'a dialogue'], ['text', 'plain text'],
];

/** The box for any sentence. In a dialogue, an empty line stands between two turns. */
export class NwText extends Watching {
  static keys = ['turns', 'mode', 'read', 'card', 'error', 'recorded', 'tab', 'reading'];

  #last = /** @type {unknown} */ (null);

  get #box() { return /** @type {HTMLTextAreaElement} */ (this.querySelector('#text')); }

  render() {
    const { card, recorded, error, read, mode, reading } = store.state;
    return html`<form class="text" aria-busy=${reading ? 'true' : nothing} @submit=${this.#submit}>
      <label for="text">Your sentence</label>
      <textarea id="text" rows="2" spellcheck="false" autocomplete="off" ?readonly=${recorded}
        placeholder="Type any sentence, then press Enter" aria-describedby="text-hint"
        @keydown=${this.#key}></textarea>
      <div class="toolbar">
        ${recorded ? nothing : html`
          <label for="mode">Read it as</label>
          <select id="mode" .value=${mode}>${MODES.map(([value, name]) => html`
            <option value=${value} ?selected=${value === mode}>${name}</option>`)}</select>
          <button type="submit" id="read" class="primary" ?disabled=${!card}>Read</button>`}
        <span id="text-hint" class="muted">${recorded ? 'This text was recorded.'
          : card?.kind === 'dialogue' ? 'An empty line begins the next turn.'
            : 'Shift+Enter makes a new line.'}
          ${read ? html` Read as ${read.read_as}.` : nothing}</span>
      </div>
      ${read?.notes?.length ? html`<ul class="notes">${read.notes.map(
        (/** @type {string} */ note) => html`<li>${note}</li>`)}</ul>` : nothing}
      ${error ? html`<p id="error" role="alert">${error.message}</p>` : nothing}
    </form>`;
  }

  updated() {
    const { turns, recorded, read } = store.state;
    const source = recorded ? read : turns;
    if (source === this.#last || (!turns.length && !recorded)) return;
    this.#last = source;
    if (recorded) {
      const tokens = read?.positions ?? [];
      this.#box.value = textOf(tokens.map((/** @type {any} */ p) => p.token));
    } else {
      this.#box.value = turns.join('\n\n');
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#read();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#read();
  }

  #read() {
    const { card, recorded } = store.state;
    if (!card || recorded) return;
    const chosen = /** @type {HTMLSelectElement} */ (this.querySelector('#mode')).value;
    const mode = /** @type {'auto' | 'dialogue' | 'text'} */ (chosen);
    const turning = mode === 'dialogue' || (mode === 'auto' && card.kind === 'dialogue');
    const parts = turning ? this.#box.value.split(/\n\s*\n/) : [this.#box.value];
    const turns = parts.filter((part) => part.trim());
    if (!turns.length) {
      store.refuse('Type a sentence first.');
      return;
    }
    store.read(turns, mode);
  }
}

customElements.define('nw-text', NwText);
