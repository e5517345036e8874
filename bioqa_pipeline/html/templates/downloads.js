// What the page shows, as files that the browser makes itself: nothing is loaded and nothing sent.
(() => {
  const table = document.getElementById("answers");
  const form = document.getElementById("downloads");
  if (!table || !form) return;
  const { text } = bioqa;
  const own = (said) => {
    const [, probability, strength] = text(said, ".own").split(/[ ,]+/); // probability 0.72, weak
    return strength ? { probability: Number(probability), strength } : {};
  };
  const evidence = (said) => ({
    ...own(said),
    pmid: Number(said.dataset.pmid),
    url: said.querySelector('a[href^="https://pubmed.ncbi.nlm.nih.gov/"]')?.href ?? "",
    evidence: text(said, "blockquote"),
    title: text(said, "bdi"),
    journal: text(said, "p > i"),
    date: text(said, "time"),
    authors: text(said, ".by").replace(/(?<!et al)\.$/, ""),
    study: text(said, ".study"),
    doi: decodeURIComponent(said.querySelector('a[href^="https://doi.org/"]')?.href.slice(16) ?? ""),
    retracted: said.classList.contains("gone"),
  });
  const names = ["question", "answer", "probability", "strength", "pmid", "title", "date", "evidence", "answer_probability", "answer_strength", "outcome", "rank", "authors", "journal", "study", "doi", "retracted"];
  const rows = () => [...table.tBodies].filter((body) => !body.hidden).flatMap((body) => {
    const question = text(body, "th.question");
    const answers = [...body.querySelectorAll("ol.found > li")];
    if (!answers.length) {
      const row = { question, outcome: text(body, ".best .none") };
      const said = body.classList.contains("yes-no") ? [...body.querySelectorAll(".said")] : [];
      return said.length ? said.map((one) => ({ ...row, ...evidence(one) })) : [row];
    }
    return answers.flatMap((item, place) => {
      const probability = parseFloat(text(item, ".p"));
      const answer = { question, rank: place + 1, answer: text(item, "strong") };
      if (!Number.isNaN(probability)) Object.assign(answer, { answer_probability: probability, answer_strength: text(item, ".p b") });
      const said = [...item.querySelectorAll(".said")];
      return said.length ? said.map((one) => ({ ...answer, ...evidence(one) })) : [answer];
    });
  });

  // To the letter as bioqa_pipeline/export/references.py has it: programs want the comma behind a surname.
  const person = /^(.+?) ((?:[A-ZÀ-Þ][a-z]?){1,4})(?: (Jr|Sr|2nd|3rd|4th|II|III|IV))?$/;
  const group = /\b([Gg]roup|[Ss]tudy|[Tt]rial|[Tt]eam|[Nn]etwork|[Cc]onsortium|[Cc]ollabor\w+|[Ii]nvestigators|[Cc]ommittee|[Ss]ociety|[Aa]ssociation|of|for|and|the|The)\b/;
  const author = (name) => (group.test(name) ? name : name.replace(person, (all, ...parts) => parts.slice(0, 3).filter(Boolean).join(", ")));

  const csv = (all) => bioqa.csv(names, all);
  const jsonl = (all) => all.map((row) => JSON.stringify(row) + "\n").join("");
  const ris = (all) => {
    const records = new Map();
    for (const row of all) if (row.pmid) records.set(row.pmid, [...(records.get(row.pmid) ?? []), row]);
    const record = ([first, ...others]) => [
      ["TY", "JOUR"], ...first.authors.split(", ").map((name) => ["AU", author(name)]), ["TI", first.title], ["T2", first.journal], ["PY", first.date.slice(0, 4)],
      ["DA", first.date.replaceAll("-", "/")], ["DO", first.doi], ["AN", first.pmid], ...(first.url ? [["DB", "PubMed"], ["DP", "NLM"]] : []),
      ["UR", first.url], ["N1", `PMID: ${first.pmid}${first.url ? "" : ", not in PubMed"}`],
      ["N1", first.retracted ? "Retracted." : ""],
      ...[first, ...others].map((row) => ["N1", `${row.question} – ${row.answer ?? row.outcome}: “${row.evidence}”`]),
    ].filter(([, value]) => value).map(([tag, value]) => `${tag}  - ${value}\r\n`).join("") + "ER  - \r\n\r\n";
    return [...records.values()].map(record).join("");
  };

  const kinds = { csv: [csv, "text/csv"], jsonl: [jsonl, "application/jsonl"], ris: [ris, "application/x-research-info-systems"] };
  form.addEventListener("click", (event) => {
    const kind = event.target.dataset?.as;
    if (!kind) return;
    const [write, type] = kinds[kind];
    bioqa.save(write(rows()), type, `${form.dataset.name}.${kind}`);
  });
  form.hidden = false;
})();
