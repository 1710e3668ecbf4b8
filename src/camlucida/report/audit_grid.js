// The grid of all images that pass the filters, of which only the visible ones exist; and the strips of the sections.

const TILE_PX = 104, TILE_WIDTH = 116, TILE_HEIGHT = 146, OVERSCAN_ROWS = 2, STRIP_PX = 92;

function createGrid(audit, state, tiles, open) {
  const grid = document.getElementById("grid"), canvas = document.getElementById("canvas");
  const used = new Map(), free = [];
  let columns = 1, pending = 0;

  function layout() {
    columns = Math.max(1, Math.floor((grid.clientWidth - 2) / TILE_WIDTH));
    canvas.style.height = Math.ceil(state.shown.length / columns) * TILE_HEIGHT + "px";
  }

  function release(tile) { tile.hidden = true; free.push(tile); }

  function render(redraw) {
    pending = 0;
    const first = Math.max(0, Math.floor(grid.scrollTop / TILE_HEIGHT) - OVERSCAN_ROWS) * columns;
    const last = Math.min(state.shown.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / TILE_HEIGHT) + OVERSCAN_ROWS) * columns);
    for (const [at, tile] of used) if (at < first || at >= last) { used.delete(at); release(tile); }
    const width = (grid.clientWidth - 2) / columns;
    for (let at = first; at < last; at++) {
      const i = state.shown[at];
      let tile = used.get(at);
      if (tile && tile.image === i && !redraw) continue;
      if (!tile) {
        tile = free.pop() || canvas.appendChild(element("button", { type: "button", class: "tile" }));
        tile.hidden = false;
        used.set(at, tile);
      }
      tile.at = at;
      tile.style.transform = `translate(${Math.round((at % columns) * width)}px, ${Math.floor(at / columns) * TILE_HEIGHT}px)`;
      tile.style.width = TILE_WIDTH - 4 + "px";
      tile.style.height = TILE_HEIGHT - 4 + "px";
      tiles.fill(tile, i, TILE_PX, {});
    }
  }

  function schedule() { if (!pending) pending = requestAnimationFrame(() => render(false)); }

  function focus(at) {
    if (at < 0 || at >= state.shown.length) return;
    const top = Math.floor(at / columns) * TILE_HEIGHT;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + TILE_HEIGHT > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + TILE_HEIGHT - grid.clientHeight;
    render(false);
    used.get(at)?.focus({ preventScroll: true });
  }

  grid.addEventListener("scroll", schedule, { passive: true });
  grid.addEventListener("keydown", event => {
    const at = event.target.at, step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (at === undefined || step === undefined) return;
    event.preventDefault();
    focus(at + step);
  });
  grid.addEventListener("click", event => {
    const tile = event.target.closest(".tile");
    if (tile) open(tile.image, state.shown);
  });
  new ResizeObserver(() => { layout(); render(true); }).observe(grid);
  state.onChange(part => {
    if (part === "image") return;
    if (part !== "display") { layout(); grid.scrollTop = 0; }
    render(true);
  });
}

function createStrips(state, tiles, open) {
  const seen = new Set();
  function options(strip) {
    return { region: strip.dataset.region?.split(" ").map(Number), map: strip.dataset.map && Number(strip.dataset.map) };
  }
  function fill(strip) {
    const rows = strip.dataset.rows.split(",").map(Number);
    for (const i of rows) {
      const tile = strip.appendChild(element("button", { type: "button", class: "tile" }));
      tiles.fill(tile, i, STRIP_PX, options(strip));
      tile.addEventListener("click", () => open(i, rows));
    }
    seen.add(strip);
  }
  const observer = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { observer.unobserve(entry.target); fill(entry.target); }
  }, { rootMargin: "400px" });
  const strips = document.querySelectorAll(".strip");
  for (const strip of strips) observer.observe(strip);
  addEventListener("beforeprint", () => { for (const strip of strips) if (!seen.has(strip)) { observer.unobserve(strip); fill(strip); } });
  state.onChange(part => {
    if (part !== "display") return;
    for (const strip of seen) for (const tile of strip.children) tiles.fill(tile, tile.image, STRIP_PX, options(strip));
  });
}
