(() => {
  const data = JSON.parse(document.getElementById("pictures").textContent);
  const plot = document.getElementById("plot");
  const points = [...plot.querySelectorAll("[data-i]")];
  const places = points.map(p => p.dataset.at.split(",").map(Number));
  const card = document.getElementById("card"), said = document.getElementById("said"), ring = document.getElementById("ring");
  let now = -1;

  function show(i) {
    if (i < 0) return;
    now = i;
    const [name, label, answer, chance, photo] = data[i];
    card.querySelector("img").src = photo ? "data:image/jpeg;base64," + photo : "";
    card.querySelector("img").hidden = !photo;
    card.querySelector("img").alt = name;
    card.querySelector("b").textContent = label || answer;
    const more = (label && label !== answer ? "taken for " + answer + ", " : "") + chance;
    card.querySelector("span").textContent = more;
    card.querySelector("small").textContent = name;
    said.textContent = name + ": " + (label ? label + ", " : "") + more;
    ring.setAttribute("cx", places[i][0]);
    ring.setAttribute("cy", places[i][1]);
    ring.removeAttribute("visibility");
    card.hidden = false;
    const box = plot.getBoundingClientRect(), scale = box.width / plot.viewBox.baseVal.width;
    const x = places[i][0] * scale, y = places[i][1] * scale;
    card.style.left = Math.max(0, Math.min(box.width - card.offsetWidth, x + 14)) + "px";
    card.style.top = (y + 14 + card.offsetHeight > box.height ? Math.max(0, y - card.offsetHeight - 14) : y + 14) + "px";
  }

  function nearest(x, y, allowed) {
    let best = -1, least = Infinity;
    places.forEach(([a, b], i) => {
      const d = (a - x) ** 2 + (b - y) ** 2;
      if (d < least && allowed(i, a - x, b - y)) { least = d; best = i; }
    });
    return best;
  }

  plot.addEventListener("pointermove", e => at(e));
  plot.addEventListener("pointerdown", e => at(e));
  function at(e) {
    const box = plot.getBoundingClientRect(), scale = plot.viewBox.baseVal.width / box.width;
    show(nearest((e.clientX - box.left) * scale, (e.clientY - box.top) * scale, () => true));
  }

  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plot.addEventListener("keydown", e => {
    const way = ways[e.key];
    if (!way) return;
    e.preventDefault();
    if (now < 0) return show(0);
    const [x, y] = places[now];
    show(nearest(x, y, (i, dx, dy) => {
      const along = dx * way[0] + dy * way[1];
      return i !== now && along > 0 && along >= Math.abs(dx * way[1] + dy * way[0]);
    }));
  });
  plot.addEventListener("focus", () => now < 0 && show(0));

  for (const choice of document.querySelectorAll("input[name=colour]"))
    choice.addEventListener("change", () => { plot.dataset.by = choice.value; });
  for (const row of document.querySelectorAll("button[data-point]"))
    row.addEventListener("click", () => {
      show(Number(row.dataset.point));
      plot.scrollIntoView({ block: "nearest" });
    });
})();
