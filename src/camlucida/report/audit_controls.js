// The filters and the start of the page.

function createControls(audit, state) {
  const form = document.getElementById("filters"), ranges = document.getElementById("ranges");
  const sort = document.getElementById("sort"), map = document.getElementById("map"), opacity = document.getElementById("opacity");
  const options = (select, entries) => select.append(...entries.map(([value, text]) => element("option", { value }, text)));
  const used = codes => [...new Set(codes)].filter(code => code >= 0).map(code => audit.classes[code]).sort();

  options(form.label, used(audit.label).map(name => [name, name]));
  options(form.predicted, used(audit.predicted).map(name => [name, name]));
  options(form.group, Object.entries(audit.groups).map(([key, group]) => {
    const all = group.rows.length === group.n;
    return [key, `${group.title} (${all ? group.n.toLocaleString("en") : `${group.rows.length} of ${group.n.toLocaleString("en")}`})`];
  }));
  options(form.add, [
    ...audit.numbers.map(name => ["r." + name, name]),
    ...Object.keys(audit.categories).map(name => ["c." + name, name]),
  ]);
  options(sort, [["", "data set"], ...audit.numbers.flatMap(name => [[name + ":asc", name + " ↑"], [name + ":desc", name + " ↓"]])]);
  const several = new Set(audit.maps.map(entry => entry.method)).size > 1;
  const meaning = { predicted: "predicted class", competing: "competing class", true: "label" };
  options(map, [["", "none"], ...audit.maps.map(entry => [`${entry.method}:${entry.of}`, (several ? entry.method + ", " : "") + meaning[entry.of]])]);
  form.label.closest("label").hidden = !used(audit.label).length;
  form.group.closest("label").hidden = !Object.keys(audit.groups).length;
  map.closest("label").hidden = !audit.maps.length;

  for (const name of ["label", "predicted", "outcome", "group"])
    form[name].addEventListener("change", () => state.set({ [name]: form[name].value }));
  form.elements.name.addEventListener("input", () => state.set({ name: form.elements.name.value }));
  form.addEventListener("submit", event => event.preventDefault());
  form.add.addEventListener("change", () => {
    const key = form.add.value;
    form.add.value = "";
    if (key && !state.values.ranges.has(key)) {
      state.setRange(key, key.startsWith("r.") ? ".." : "");
      ranges.querySelector(`[data-key="${CSS.escape(key)}"] :is(input, select)`)?.focus();
    }
  });
  document.getElementById("clear").addEventListener("click", () => state.replaceFilters({}));
  sort.addEventListener("change", () => state.set({ sort: sort.value }));
  map.addEventListener("change", () => state.set({ map: map.value }, "display"));
  let waiting = 0;
  opacity.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => state.set({ opacity: opacity.value }, "display"));
  });

  function rangeRow(key) {
    const name = key.slice(2), row = element("span", { class: "range", "data-key": key }, name + " ");
    const remove = element("button", { type: "button", "aria-label": `Remove the filter ${name}` }, "×");
    remove.addEventListener("click", () => state.setRange(key, null));
    if (key.startsWith("r.")) {
      const ends = ["from", "to"].map(text => element("input", { type: "number", step: "any", "aria-label": `${name} ${text}` }));
      for (const end of ends) end.addEventListener("input", () => state.setRange(key, ends.map(e => e.value).join("..")));
      row.append(ends[0], "to", ends[1], remove);
    } else {
      const select = element("select", { "aria-label": name });
      options(select, [["", "all"], ...(audit.categories[name]?.values || []).map(value => [value, value])]);
      select.addEventListener("change", () => state.setRange(key, select.value));
      row.append(select, remove);
    }
    return row;
  }

  function update() {
    for (const name of ["label", "predicted", "outcome", "group"]) form[name].value = state.values[name];
    if (form.elements.name.value !== state.values.name) form.elements.name.value = state.values.name;
    sort.value = state.values.sort;
    map.value = state.values.map;
    opacity.value = state.values.opacity;
    document.getElementById("opacity-label").hidden = !state.values.map;
    for (const row of [...ranges.children]) if (!state.values.ranges.has(row.dataset.key)) row.remove();
    for (const [key, value] of state.values.ranges) {
      const row = ranges.querySelector(`[data-key="${CSS.escape(key)}"]`) || ranges.appendChild(rangeRow(key));
      const values = key.startsWith("r.") ? value.split("..") : [value];
      row.querySelectorAll("input, select").forEach((control, i) => {
        if (control !== document.activeElement && control.value !== values[i]) control.value = values[i] ?? "";
      });
    }
    document.getElementById("count").textContent = state.isFiltered()
      ? `${state.shown.length.toLocaleString("en")} of ${audit.n.toLocaleString("en")} ${audit.targets ? "targets" : "images"}`
      : `${audit.n.toLocaleString("en")} ${audit.targets ? "targets" : "images"}`;
    for (const cell of document.querySelectorAll(".matrix [data-filter]")) {
      const wanted = new URLSearchParams(cell.dataset.filter);
      cell.setAttribute("aria-pressed", String(wanted.get("label") === state.values.label && wanted.get("predicted") === state.values.predicted));
    }
  }

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-filter]");
    if (!button) return;
    const pressed = button.getAttribute("aria-pressed") === "true";
    state.replaceFilters(pressed ? {} : Object.fromEntries(new URLSearchParams(button.dataset.filter)));
    if (!button.closest("#images")) showImages();
  });
  state.onChange(update);
}

function showImages() {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.getElementById("images").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}

async function startPage() {
  performance.mark("script");
  const audit = await readAudit();
  performance.mark("read");
  const state = createState(audit), tiles = createTiles(audit, state);
  const open = createDetails(audit, state, tiles);
  createControls(audit, state);
  createGrid(audit, state, tiles, open);
  createStrips(state, tiles, open);
  createScatter(audit, state, tiles, open);
  const image = state.values.image;
  state.start();
  if (state.restored) document.getElementById("images").scrollIntoView();
  const at = image === "" ? -1 : audit.positions.indexOf(Number(image));
  if (at >= 0) open(at, state.shown.includes(at) ? state.shown : [at]);
  document.documentElement.dataset.ready = "";
  performance.mark("ready");
}

startPage().catch(error => {
  console.error(error);
  document.getElementById("count").textContent = `The images cannot be displayed: ${error.message}. This page needs a browser of 2023 or later.`;
});
