(() => {
  const table = document.getElementById("answers");
  const tools = document.getElementById("tools");
  if (!table || !tools) return;
  const rows = [...table.tBodies];
  const box = document.getElementById("filter");
  const count = document.getElementById("count");
  const nothing = document.getElementById("nothing");
  const texts = new Map();
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const textOf = (row) => {
    if (!texts.has(row)) {
      const copy = row.cloneNode(true);
      for (const control of copy.querySelectorAll(".choose, .marked, textarea")) control.remove();
      texts.set(row, fold(copy.textContent));
    }
    return texts.get(row);
  };

  const filter = () => {
    const words = fold(box.value).split(/\s+/).filter(Boolean);
    const kind = tools.querySelector("input[name=kind]:checked").value;
    let shown = 0;
    for (const row of rows) {
      const fits = (kind === "all" || row.classList.contains(kind)) && words.every((w) => textOf(row).includes(w));
      row.hidden = !fits;
      shown += fits;
    }
    count.value = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} questions`;
    nothing.hidden = shown > 0;
  };

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const heads = [...table.tHead.rows[0].cells];
  const sort = (head, descending) => {
    const column = head.cellIndex;
    const isNumber = head.classList.contains("num");
    const value = (row) => {
      const cell = row.rows[0].cells[column];
      return cell.dataset.v ?? bioqa.text(cell.parentElement, cell.tagName === "TH" ? "th" : ".best strong");
    };
    const compare = isNumber ? (a, b) => a - b : collator.compare;
    const keyed = rows.map((row, place) => ({ row, place, key: value(row) }));
    keyed.sort((a, b) => {
      // Questions without a value come last whichever way the column is sorted.
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.place - b.place;
      return (descending ? compare(b.key, a.key) : compare(a.key, b.key)) || a.place - b.place;
    });
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    table.append(...keyed.map((k) => k.row));
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const sorted = head.getAttribute("aria-sort");
    if (!sorted) head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(head, now === "none" ? head.dataset.first === "descending" : now === "ascending");
    });
  }

  const open = (state) => {
    for (const row of rows) if (!row.hidden) row.querySelector("details").open = state;
  };
  document.getElementById("open").addEventListener("click", () => open(true));
  document.getElementById("close").addEventListener("click", () => open(false));
  box.addEventListener("input", filter);
  tools.addEventListener("change", filter);
  tools.hidden = false;
  filter();

  // The question that the address names is shown whatever is filtered, and open.
  const goTo = () => {
    const row = rows.find((r) => r.id === location.hash.slice(1));
    if (!row) return;
    row.hidden = false;
    row.querySelector("details").open = true;
    row.scrollIntoView();
  };
  addEventListener("hashchange", goTo);
  table.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link) bioqa.copy(link.href, link);
  });
  goTo();
})();
