// @ts-check
/** Runs a lesson: asks the server to teach, and hands on its events as they come. */

import { api, ApiError } from '../api.js';

/**
 * @param {object} body
 * @param {{signal?: AbortSignal, onEvent: (event: any) => void}} options
 * @returns {Promise<any>} the last event: `done` or `not_learned`
 * @throws {ApiError} what the server refused, or that the stream broke off
 */
export async function run(body, { signal, onEvent }) {
  for await (const event of api.teach(body, { signal })) {
    if (event.event === 'error') throw new ApiError(event.error.message, event.error);
    if (event.event === 'done' || event.event === 'not_learned') return event;
    onEvent(event);
  }
  throw new ApiError('The lesson broke off before its end; the weights are as they were.');
}
