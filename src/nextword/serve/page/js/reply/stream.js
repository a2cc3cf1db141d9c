// @ts-check
/** Runs a reply: asks the server step by step or to the end, and grows the tree as words come. */

import { api, ApiError } from '../api.js';

/** @typedef {import('./tree.js').Tree} Tree */

/** Why a reply ended, in words; by the server's reason, or the page's own. */
export const REASONS = /** @type {Record<string, string>} */ ({
  stop: 'It stopped because it predicted the end token.',
  length: 'It stopped because the context is full.',
  stop_string: 'It stopped because a stop text came.',
  user: 'You stopped it.',
  chosen_end: 'The end token that you chose ends the reply.',
});
const CANDIDATES = 10;

/**
 * Let the model go on after the active node of the tree.
 *
 * @param {Tree} tree
 * @param {{steps: number|null, config: object, version: string, signal: AbortSignal,
 *   onStep: () => void}} options steps: null runs to the end token; version: of the weights that
 *   the tree is of, other ones are refused; onStep is called after each word.
 * @returns {Promise<void>} when the reply has ended; rejects with AbortError when stopped
 */
export async function run(tree, { steps, config, version, signal, onStep }) {
  const body = { ids: tree.ids(), steps, config, top: CANDIDATES, version };
  for await (const event of api.reply(body, { signal })) {
    if (event.event === 'step') {
      tree.step(event);
      onStep();
    } else if (event.event === 'error') {
      throw new ApiError(event.error.message, event.error);
    } else if (event.event === 'end' && event.reason !== 'steps') {
      tree.node(tree.active).reason = event.reason;
    }
  }
}
