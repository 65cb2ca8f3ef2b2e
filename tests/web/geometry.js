/** What stands where it should not: a list of sentences. Axe passes pages whose layout is broken. */
() => {
  const found = [], LEAST = 24, width = document.documentElement.clientWidth;
  const named = (e) => `${e.tagName.toLowerCase()}${typeof e.className === "string" && e.className ? "." + e.className.trim().replace(/\s+/g, ".") : ""} ${JSON.stringify((e.getAttribute("aria-label") || e.textContent || "").trim().slice(0, 50))}`;
  const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !e.closest(".visually-hidden, .skip, [inert]");
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${width}`);

  const targets = "button, a[href], input, select, textarea, summary, [role=button], [tabindex='0']";
  for (const e of document.querySelectorAll(targets)) {
    if (!seen(e) || e.matches(".scroll") || (e.tagName === "A" && e.parentElement.matches("p, .empty, .note"))) continue; // in a sentence
    const r = (e.matches("input") && e.closest("label") || e).getBoundingClientRect();
    const around = e.closest(".scroll")?.getBoundingClientRect();
    if (around && (r.right > around.right + 1 || r.left < around.left - 1)) found.push(`a target that is out of sight until somebody scrolls sideways: ${named(e)}`);
    if (r.width < LEAST - 0.5 || r.height < LEAST - 0.5) found.push(`a target of ${Math.round(r.width)} × ${Math.round(r.height)} px: ${named(e)}`);
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const text = node.data.trim(), e = node.parentElement;
    if (!text || e.matches("script, style, noscript, option, title") || !seen(e)) continue;
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((r) => r.width > 0.5);
    const lines = new Set(boxes.map((r) => Math.round(r.top))).size;
    if (lines >= 4 && text.length / lines < 4) found.push(`a column of letters, ${lines} lines: ${named(e)}`);
    const box = e.closest(".scroll") ? null : e.closest("dialog, .tile, .panel, .toast, .note, button");
    if (box) {
      const r = box.getBoundingClientRect();
      if (boxes.some((b) => b.right > r.right + 1 || b.left < r.left - 1)) found.push(`text sticks out of ${box.className || box.tagName}: ${named(e)}`);
    }
    if (!e.closest(".scroll, dialog, .list") && boxes.some((b) => b.right > width + 1 || b.left < -1)) found.push(`text out of the window: ${named(e)}`);
  }

  for (const e of document.querySelectorAll("body *")) {
    if (e.namespaceURI.endsWith("svg") || !seen(e) || e.matches("input, select, textarea, canvas, .uplot *")) continue;
    if (e.matches(".clamp") && e.title === e.textContent) continue; // on purpose, with an ellipsis; its title says all
    const style = getComputedStyle(e);
    const cut = (axis) => ["hidden", "clip"].includes(style[`overflow${axis}`]);
    if ((cut("X") && e.scrollWidth > e.clientWidth + 1) || (cut("Y") && e.scrollHeight > e.clientHeight + 1)) found.push(`text is cut off: ${named(e)}`);
  }
  return [...new Set(found)];
}
