/** The foreign modules, in one place. */
export { h, Fragment, render } from "../vendor/preact.js";
export { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "../vendor/preact-hooks.js";
export { signal, computed, effect, batch } from "../vendor/signals.js";
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";
export const html = htm.bind(h);
