// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { ordinal } from '../numbers.js';
import { store } from '../store.js';
import { quoted } from '../tokens.js';
import { LEVELS } from '../url.js';
import { Watching } from '../watching.js';

/** Where one is: sentence › “sat” (position 3) › layer 2 › head 5, and the way to elsewhere. */
export class NwBreadcrumb extends Watching {
  static keys = ['read', 'position', 'layer', 'head', 'level', 'hover', 'card'];

  render() {
    const { read, position, layer, head, level, card, hover } = store.shown;
    const depth = LEVELS.indexOf(level);
    const token = read?.positions[position ?? 0]?.token ?? '';
    const steps = [
      { level: 'sentence', name: 'sentence' },
      { level: 'position', name: html`${quoted(token)} (position ${position})` },
      { level: 'layer', name: `layer ${layer}` },
      { level: 'head', name: `head ${head}` },
    ].slice(0, layer === null ? Math.min(2, depth + 1) : depth + 1);
    return html`<div id="breadcrumb" class="breadcrumb ${hover ? 'preview' : ''}">
      <nav aria-label="Where you are"><ol>${steps.map((step, i) => html`<li>
        ${i ? html`<span class="muted" aria-hidden="true">›</span>` : nothing}
        <button type="button" aria-current=${i === steps.length - 1 ? 'location' : nothing}
          @click=${() => store.select({ level: /** @type {any} */ (step.level) })}>${step.name}
        </button></li>`)}</ol></nav>
      <span class="chosen">${this.#choice('layer', card?.n_layers ?? 0, layer)}
        ${this.#choice('head', layer === null ? 0 : card?.n_heads ?? 0, head)}</span>
    </div>`;
  }

  /** @param {'layer' | 'head'} name @param {number} count @param {number | null} chosen */
  #choice(name, count, chosen) {
    if (count === 0) return nothing;
    const places = Array.from({ length: count }, (_, i) => i);
    const pick = (/** @type {Event} */ event) =>
      store.select({ [name]: Number(/** @type {HTMLSelectElement} */ (event.target).value) });
    return html`<span class="choice"><label for=${name}>${name}</label>
      <select id=${name} aria-describedby="${name}-place" @change=${pick}
        .value=${String(chosen)}>${places.map((i) => html`
        <option value=${i} ?selected=${i === chosen}>${i}</option>`)}</select>
      <span class="muted" id="${name}-place">${chosen === null ? nothing
        : ordinal(chosen, count)}</span></span>`;
  }

  updated() {
    for (const name of /** @type {const} */ (['layer', 'head'])) {
      const select = /** @type {HTMLSelectElement | null} */ (this.querySelector(`#${name}`));
      if (select) select.value = String(store.shown[name]);
    }
  }
}

customElements.define('nw-breadcrumb', NwBreadcrumb);
