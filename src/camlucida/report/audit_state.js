// The state of the page: filters, order and display. It is kept in the address fragment, so that a link restores it.

const DEFAULTS = {
  label: "", predicted: "", outcome: "", group: "", name: "", area: "",
  sort: "", map: "", opacity: "0.5", colour: "outcome", image: "",
};
const FILTERS = ["label", "predicted", "outcome", "group", "name", "area"];
const WRITE_DELAY_MS = 250; // Safari refuses more than 100 changes of the address in 30 s

function createState(audit) {
  const state = { ...DEFAULTS, ranges: new Map() };
  const listeners = [];
  let shown = new Int32Array(0), inside = new Uint8Array(audit.n), timer = 0, ownHash = "";

  function read() {
    Object.assign(state, DEFAULTS);
    state.ranges = new Map();
    const fragment = location.hash.slice(1);
    if (!fragment.includes("=")) return false;
    for (const [key, value] of new URLSearchParams(fragment)) {
      if (key in DEFAULTS) state[key] = value;
      else if (key.startsWith("r.") || key.startsWith("c.")) state.ranges.set(key, value);
    }
    return true;
  }

  function written() {
    const params = new URLSearchParams();
    for (const key of Object.keys(DEFAULTS)) if (state[key] !== DEFAULTS[key]) params.set(key, state[key]);
    for (const [key, value] of state.ranges) params.set(key, value);
    return params.toString();
  }

  function write() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      ownHash = written();
      history.replaceState(null, "", ownHash ? "#" + ownHash : location.pathname + location.search);
    }, WRITE_DELAY_MS);
  }

  function tests() {
    const found = [], code = name => audit.classes.indexOf(name);
    if (state.label) { const c = code(state.label); found.push(i => audit.label[i] === c); }
    if (state.predicted) { const c = code(state.predicted); found.push(i => audit.predicted[i] === c); }
    if (state.outcome) found.push(i => OUTCOMES[audit.correct[i]] === state.outcome);
    if (state.group) { const rows = new Set(audit.groups[state.group]?.rows); found.push(i => rows.has(i)); }
    if (state.name) { const part = state.name.toLowerCase(); found.push(i => audit.names[i].toLowerCase().includes(part)); }
    if (state.area && audit.points) {
      const [left, top, right, bottom] = state.area.split(",").map(Number), p = audit.points;
      found.push(i => p[2 * i] >= left && p[2 * i] <= right && p[2 * i + 1] >= top && p[2 * i + 1] <= bottom);
    }
    for (const [key, value] of state.ranges) {
      const column = key.slice(2);
      if (key.startsWith("r.") && audit.columns.has(column)) {
        const [low, high] = value.split("..").map(end => end === "" ? NaN : Number(end)), values = audit.columns.get(column);
        found.push(i => !(values[i] < low - 1e-6) && !(values[i] > high + 1e-6) && !Number.isNaN(values[i]));
      } else if (key.startsWith("c.") && audit.categories[column]) {
        const c = audit.categories[column].values.indexOf(value), codes = audit.categories[column].codes;
        if (value) found.push(i => codes[i] === c);
      }
    }
    return found;
  }

  function ordered(rows) {
    const [column, direction] = state.sort.split(":");
    if (!column && state.group && audit.groups[state.group]) { // a group has an order of its own
      const rank = new Map(audit.groups[state.group].rows.map((row, i) => [row, i]));
      return rows.sort((a, b) => rank.get(a) - rank.get(b));
    }
    const values = audit.columns.get(column);
    if (!values) return rows;
    const sign = direction === "desc" ? -1 : 1, last = sign * Infinity;
    const key = i => Number.isNaN(values[i]) ? last : values[i];
    return rows.sort((a, b) => sign * (key(a) - key(b)) || a - b);
  }

  function apply() {
    const all = tests(), rows = [];
    inside = new Uint8Array(audit.n);
    for (let i = 0; i < audit.n; i++) if (all.every(test => test(i))) { inside[i] = 1; rows.push(i); }
    shown = Int32Array.from(ordered(rows));
  }

  function changed(part) {
    if (part !== "display") apply();
    write();
    for (const listener of listeners) listener(part);
  }

  addEventListener("hashchange", () => {
    const fragment = location.hash.slice(1);
    if (fragment === ownHash || !fragment.includes("=")) return; // a link to a section keeps the filters
    read();
    apply();
    for (const listener of listeners) listener("all");
  });

  return {
    values: state,
    get shown() { return shown; },
    get inside() { return inside; },
    restored: read(),
    isFiltered: () => FILTERS.some(key => state[key]) || state.ranges.size > 0,
    start() { apply(); for (const listener of listeners) listener("all"); },
    onChange(listener) { listeners.push(listener); },
    set(values, part = "filters") { Object.assign(state, values); changed(part); },
    setRange(key, value) { if (value === null) state.ranges.delete(key); else state.ranges.set(key, value); changed("filters"); },
    replaceFilters(values) {
      for (const key of FILTERS) state[key] = "";
      state.ranges.clear();
      Object.assign(state, values);
      changed("all");
    },
  };
}
