// Include, exclude and notes, kept by this browser alone under data set, question and PMID; citations for the clipboard.
(() => {
  const table = document.getElementById("answers");
  const bar = document.getElementById("chosen");
  if (!table || !bar) return;
  const set = table.dataset.set;
  const begin = `bioqa/choice/${JSON.stringify([set]).slice(0, -1)},`;
  const nameOf = (question, pmid) => `bioqa/choice/${JSON.stringify([set, question, pmid])}`;
  let store = null;
  try {
    store = window.localStorage;
    store.getItem(begin);
  } catch {
    store = null;
  }

  const all = () => {
    const found = new Map();
    for (let i = 0; store && i < store.length; i += 1) {
      const name = store.key(i);
      if (!name.startsWith(begin)) continue;
      try {
        const [, question, pmid] = JSON.parse(name.slice("bioqa/choice/".length));
        found.set(name, { ...JSON.parse(store.getItem(name)), question_id: question, pmid });
      } catch {
        // Not of this page's making.
      }
    }
    return found;
  };
  const counted = (chosen) => {
    const n = (choice) => chosen.filter((c) => c.choice === choice).length;
    const parts = [[n("include"), "included"], [n("exclude"), "excluded"], [chosen.filter((c) => c.note).length, "noted"]];
    return parts.filter(([k]) => k).map(([k, words]) => `${k.toLocaleString("en")} ${words}`).join(", ");
  };

  const questionOf = (item) => item.closest("tbody").dataset.question;
  const nameFor = (item) => nameOf(questionOf(item), Number(item.dataset.pmid));
  const kept = (item) => {
    try {
      return JSON.parse(store.getItem(nameFor(item))) ?? {};
    } catch {
      return {};
    }
  };
  const keep = (item, changes) => {
    const now = { ...kept(item), ...changes };
    try {
      if (!now.choice && !now.note) store.removeItem(nameFor(item));
      else {
        const question = bioqa.text(item.closest("tbody"), "th.question");
        const title = bioqa.text(item, "bdi");
        store.setItem(nameFor(item), JSON.stringify({ ...now, question, title, changed_at: new Date().toISOString() }));
      }
    } catch {
      bar.querySelector("output").value = "this browser has no room for more";
      bar.hidden = false;
      return;
    }
    show(item.closest("tbody"));
    count();
  };

  const button = (words, name, value) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = words;
    made.dataset[name] = value;
    return made;
  };
  const citation = (said) => {
    const at = (selector) => bioqa.text(said, selector);
    const ended = (words) => (words && !/[.?!]$/.test(words) ? `${words}.` : words);
    const doi = said.querySelector('a[href^="https://doi.org/"]');
    return [
      ended(at(".by")), ended(at("bdi")), ended(at("p > i")), ended(at("time")),
      doi ? `doi:${decodeURIComponent(doi.href.slice(16))}.` : "", `PMID: ${said.dataset.pmid}.`,
      said.classList.contains("gone") ? "Retracted." : "",
    ].filter(Boolean).join(" ");
  };
  const equip = (item) => {
    if (item.querySelector(".choose")) return;
    item.dataset.pmid ??= parseInt(item.textContent, 10);
    const line = document.createElement("p");
    line.className = "choose";
    if (store) {
      line.append(button("Include", "choose", "include"), button("Exclude", "choose", "exclude"), button("Note", "note", "open"));
    }
    if (item.classList.contains("said")) line.append(button("Copy citation", "cite", "plain"));
    if (!line.childElementCount) return;
    item.append(line);
  };
  const noteBox = (item) => {
    let box = item.querySelector("textarea");
    if (!box) {
      box = document.createElement("textarea");
      box.rows = 2;
      box.maxLength = 5000;
      box.setAttribute("aria-label", `Note on PMID ${item.dataset.pmid}`);
      box.addEventListener("input", () => keep(item, { note: box.value.trim() }));
      item.append(box);
    }
    return box;
  };
  // What stands in one question, as it is kept: a record can stand under several of its answers.
  const show = (body) => {
    for (const item of body.querySelectorAll("[data-pmid]:has(> .choose)")) {
      const { choice, note } = store ? kept(item) : {};
      item.dataset.choice = choice ?? "";
      for (const one of item.querySelectorAll("[data-choose]")) one.setAttribute("aria-pressed", one.dataset.choose === choice);
      const box = note ? noteBox(item) : item.querySelector("textarea");
      if (box && box !== document.activeElement) box.value = note ?? "";
    }
  };
  const count = () => {
    const chosen = [...all().values()];
    bar.hidden = !chosen.length;
    bar.querySelector("output").value = counted(chosen);
    const byQuestion = new Map();
    for (const one of chosen) byQuestion.set(one.question_id, [...(byQuestion.get(one.question_id) ?? []), one]);
    for (const body of table.tBodies) {
      const words = counted(byQuestion.get(body.dataset.question) ?? []);
      let badge = body.querySelector(".marked");
      if (words && !badge) {
        badge = document.createElement("span");
        badge.className = "marked badge";
        body.querySelector(".more summary").append(" ", badge);
      }
      if (badge) badge.textContent = words;
    }
  };

  table.addEventListener("toggle", (event) => {
    if (!event.target.open) return;
    const within = event.target.closest("tbody");
    for (const item of event.target.querySelectorAll(".said, .silent li")) equip(item);
    show(within);
  }, true);
  table.addEventListener("click", (event) => {
    const pressed = event.target.closest(".choose button");
    if (!pressed) return;
    const item = pressed.closest("[data-pmid]");
    const { choose, cite, note } = pressed.dataset;
    if (choose) keep(item, { choice: kept(item).choice === choose ? "" : choose });
    if (cite) bioqa.copy(citation(item), pressed);
    if (note) noteBox(item).focus();
  });
  bar.addEventListener("click", (event) => {
    const what = event.target.dataset.do;
    const chosen = all();
    if (what === "save") {
      const names = ["question", "pmid", "title", "choice", "note", "changed_at", "question_id"];
      bioqa.save(bioqa.csv(names, [...chosen.values()]), "text/csv", "choices.csv");
    }
    if (what === "forget" && confirm(`Forget ${counted([...chosen.values()])}?`)) {
      for (const name of chosen.keys()) store.removeItem(name);
      for (const body of table.tBodies) show(body);
      count();
    }
  });
  // Another tab with a page of this data set.
  addEventListener("storage", () => {
    for (const body of table.tBodies) show(body);
    count();
  });
  count();
})();
