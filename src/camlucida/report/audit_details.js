// The dialog of one image: its maps side by side, and all of its numbers.

const DETAIL_PX = 240;

// What a row of an audit of targets is: "correct: dog (box 2)", "missed dog at 12,40".
function targetTitle(audit, i) {
  return audit.outcomes[i] === "missed" ? audit.targets[i] : `${audit.outcomes[i]}: ${audit.targets[i]}`;
}

function createDetails(audit, state, tiles) {
  const dialog = document.getElementById("details");
  let rows = [], at = 0;

  function open(i, list) {
    rows = Array.from(list);
    at = rows.indexOf(i);
    show();
    if (!dialog.open) dialog.showModal();
  }

  function view(i, map, text) {
    const canvas = element("canvas", { role: "img", "aria-label": text });
    tiles.draw(canvas, i, DETAIL_PX, map, { boxes: true });
    return element("figure", {}, canvas, element("figcaption", {}, text));
  }

  function show() {
    const i = rows[at], { predicted, label, wrong, confidence } = tiles.describe(i);
    const competing = className(audit, audit.competing[i]);
    const isMissed = audit.outcomes?.[i] === "missed"; // the map without a further name is that of the missed class
    const classes = { predicted: isMissed ? label : predicted, competing, true: label };
    const views = [view(i, -1, "image")];
    audit.maps.forEach((entry, index) => {
      const known = entry.of !== "true" || (audit.label[i] >= 0 && audit.outcomes?.[i] !== "false");
      if (known && !(entry.of === "true" && label === classes.predicted))
        views.push(view(i, index, `${entry.method}, ${entry.of === "true" ? "label" : isMissed && entry.of === "predicted" ? "missed" : entry.of}: ${classes[entry.of]}`));
    });
    const lines = [];
    for (const [name, { values, codes }] of Object.entries(audit.categories)) if (codes[i] >= 0) lines.push([name, values[codes[i]]]);
    for (const [name, values] of audit.columns) if (Number.isFinite(values[i])) lines.push([name, formatted(values[i])]);
    const groups = Object.values(audit.groups).filter(group => group.rows.includes(i)).map(group => group.title);
    const head = audit.targets ? targetTitle(audit, i) : wrong ? `${label}, predicted as ${predicted}` : predicted;
    const button = (text, step) => {
      const made = element("button", { type: "button", disabled: rows[at + step] === undefined, "data-step": step }, text);
      made.addEventListener("click", () => {
        at += step;
        show();
        dialog.querySelector(`[data-step="${step}"]`).focus();
      });
      return made;
    };
    const close = element("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(
      element("nav", { "aria-label": "Images" }, button("Previous", -1), button("Next", 1), close),
      element("h3", { id: "details-title" }, `${head} (${confidence})`),
      element("p", { class: "muted" }, `${audit.names[i]}, row ${audit.positions[i].toLocaleString("en")}`),
      element("div", { class: "views" }, ...views),
      ...(groups.length ? [element("p", {}, "In: " + groups.join("; "))] : []),
      element("ul", { class: "numbers" }, ...lines.map(([name, value]) => element("li", {}, element("span", {}, name), element("b", {}, value)))),
    );
    if (state.values.image !== String(audit.positions[i])) state.set({ image: String(audit.positions[i]) }, "image");
  }

  dialog.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && rows[at + step] !== undefined) { at += step; show(); }
  });
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => state.set({ image: "" }, "image"));
  return open;
}
