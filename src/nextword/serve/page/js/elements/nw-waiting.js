// @ts-check
import { html } from '../../vendor/lit/index.js';
import { store } from '../store.js';
import { Watching } from '../watching.js';

/** Says, to the eye and aloud, that something takes longer than a moment. */
export class NwWaiting extends Watching {
  static keys = ['slow', 'reading', 'card'];

  render() {
    const { slow, reading, card } = store.state;
    const what = !card ? 'Opening the model …' : reading ? 'Reading the sentence …' : 'Working …';
    return html`<div id="waiting" role="status" class=${slow ? 'shown' : ''}>${slow
      ? html`<span class="spinner" aria-hidden="true"></span>${what}` : ''}</div>`;
  }
}

customElements.define('nw-waiting', NwWaiting);
