// @ts-check
/** The page starts here: every element, the keys, and the sentence that the address names. */

import { api } from './api.js';
import { listen } from './keys.js';
import { store } from './store.js';
import { apply } from './theme.js';
import './elements/nw-number.js';
import './elements/nw-vector.js';
import './elements/nw-bars.js';
import './elements/nw-table.js';
import './elements/nw-matrix.js';
import './elements/nw-panel.js';
import './elements/nw-text.js';
import './elements/nw-token-strip.js';
import './elements/nw-breadcrumb.js';
import './elements/nw-inspector.js';
import './elements/nw-live.js';
import './elements/nw-model-card.js';
import './panels/sentence.js';
import './panels/position.js';
import './panels/head.js';
import './panels/residual.js';
import './panels/overview.js';
import './reply/nw-reply.js';
import './teach/nw-teach.js';
import './elements/nw-unkept-lesson.js';
import './elements/nw-page.js';

Object.assign(window, { nextword: { store, api } });
apply(store.state.theme);
listen();
window.addEventListener('popstate', () => store.revisit());
store.start();
